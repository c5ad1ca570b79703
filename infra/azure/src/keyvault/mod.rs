//! Secrets by reference, from Azure Key Vault.
