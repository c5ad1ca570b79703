//! Payloads that do not fit a message (claim check), in Azure Blob Storage.
