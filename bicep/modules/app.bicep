// The function app: Flex Consumption, custom handler, managed identity everywhere.
param location string
param token string
param tags object
param identityId string
param clientId string
param principalId string
param maximumInstanceCount int
param instanceMemoryMB int
param serviceBusNamespace string
param cosmosEndpoint string
param vaultUri string
param appInsightsName string
param metricBuckets int

var functionAppName = 'func-${token}'
var packages = 'app-package-${take(functionAppName, 32)}'
var claims = 'claims'
var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'

resource appInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: appInsightsName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'st${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    minimumTlsVersion: 'TLS1_2'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    publicNetworkAccess: 'Enabled'
    networkAcls: { defaultAction: 'Allow', bypass: 'AzureServices' }
  }

  resource blob 'blobServices' = {
    name: 'default'
    resource containers 'containers' = [
      for name in [packages, claims]: {
        name: name
        properties: { publicAccess: 'None' }
      }
    ]
  }

  // A claim check says itself until when it counts, 35 days at most (SPEC 4.1). Writing that anew counts as a modification;
  // the day more is for clocks that differ. Only the claims: the package beside them stays.
  resource expiry 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'claims'
            enabled: true
            type: 'Lifecycle'
            definition: {
              filters: { blobTypes: ['blockBlob'], prefixMatch: ['${claims}/'] }
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 36 } } }
            }
          }
        ]
      }
    }
  }
}

// The Functions host needs the owner's role for its locks and its package; that of the claims, contributor, is within.
resource storageRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, storageBlobDataOwner)
  scope: storage
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', storageBlobDataOwner)
  }
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

resource functionApp 'Microsoft.Web/sites@2024-11-01' = {
  name: functionAppName
  location: location
  tags: union(tags, { 'azd-service-name': 'opsloop' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    siteConfig: { minTlsVersion: '1.2', http20Enabled: true }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packages}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      scaleAndConcurrency: { maximumInstanceCount: maximumInstanceCount, instanceMemoryMB: instanceMemoryMB }
      runtime: { name: 'custom', version: '1.0' }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: {
      AzureWebJobsStorage__accountName: storage.name
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: clientId
      ServiceBusConnection__fullyQualifiedNamespace: serviceBusNamespace
      ServiceBusConnection__credential: 'managedidentity'
      ServiceBusConnection__clientId: clientId
      CosmosConnection__accountEndpoint: cosmosEndpoint
      BlobConnection__serviceUri: storage.properties.primaryEndpoints.blob
      KEY_VAULT_URI: vaultUri
      AZURE_CLIENT_ID: clientId
      OPSLOOP_METRIC_BUCKETS: string(metricBuckets)
      APPLICATIONINSIGHTS_CONNECTION_STRING: appInsights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
    }
  }
  dependsOn: [storageRole]
}

output name string = functionApp.name
