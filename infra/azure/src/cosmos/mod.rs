//! Documents and what is due, in Azure Cosmos DB.
