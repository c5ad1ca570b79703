using './main.bicep'

param environmentName = 'opsloop-dev'
