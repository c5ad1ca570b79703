// The consumption-scaled deployment: a Flex Consumption function app with a managed identity and no keys, Service Bus
// and Cosmos DB as the catalogue says. Checked offline; never deployed from here (README: what has been tried).
targetScope = 'resourceGroup'

@minLength(1)
@maxLength(32)
@description('Environment name, used in the resource token.')
param environmentName string
param location string = resourceGroup().location
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048
@minValue(1)
@maxValue(256)
@description('Fixed at the first start: another number would look for series where they are not.')
param metricBuckets int = 8

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${token}'
  location: location
  tags: tags
}

module monitoring './modules/monitoring.bicep' = {
  name: 'monitoring'
  params: { location: location, token: token, tags: tags, principalId: identity.properties.principalId }
}

module messaging './modules/messaging.bicep' = {
  name: 'messaging'
  params: {
    location: location
    token: token
    tags: tags
    principalId: identity.properties.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module state './modules/state.bicep' = {
  name: 'state'
  params: { location: location, token: token, tags: tags, principalId: identity.properties.principalId }
}

module app './modules/app.bicep' = {
  name: 'app'
  params: {
    location: location
    token: token
    tags: tags
    identityId: identity.id
    clientId: identity.properties.clientId
    principalId: identity.properties.principalId
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    serviceBusNamespace: messaging.outputs.fullyQualifiedNamespace
    cosmosEndpoint: state.outputs.cosmosEndpoint
    vaultUri: state.outputs.vaultUri
    appInsightsName: monitoring.outputs.appInsightsName
    metricBuckets: metricBuckets
  }
}

output AZURE_FUNCTION_NAME string = app.outputs.name
output SERVICE_BUS_FQDN string = messaging.outputs.fullyQualifiedNamespace
output COSMOS_ENDPOINT string = state.outputs.cosmosEndpoint
