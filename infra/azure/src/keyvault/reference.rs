//! How a setting or a document names a secret: by reference, in our form or in App Service's.

use url::Url;

const OURS: &str = "keyvault:";
const APP_SERVICE: &str = "@Microsoft.KeyVault(";
const SECRET_URI: &str = "SecretUri=";
/// Key Vault's own limit.
const NAME_MAX: usize = 127;
const VERSION_MAX: usize = 64;

/// A secret of our vault; without a version, the newest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

impl Reference {
    /// `keyvault:<name>[/<version>]`, or `@Microsoft.KeyVault(SecretUri=https://<vault>/secrets/<name>[/<version>])` of
    /// this vault. The error never repeats the text: somebody may have written the secret itself.
    pub(crate) fn parse(text: &str, vault: &Url) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix(OURS) {
            let (name, version) = rest.split_once('/').map_or((rest, None), |(name, version)| (name, Some(version)));
            return Self::of(name, version);
        }
        match text.strip_prefix(APP_SERVICE).and_then(|rest| rest.strip_suffix(')')) {
            Some(rest) => Self::in_app_service(rest, vault),
            None => Err("it is neither `keyvault:<name>` nor `@Microsoft.KeyVault(SecretUri=…)`".into()),
        }
    }

    fn in_app_service(inside: &str, vault: &Url) -> Result<Self, String> {
        let uri = inside.strip_prefix(SECRET_URI).ok_or("only the form with `SecretUri=` is read")?;
        let uri = Url::parse(uri).map_err(|_| "its `SecretUri` is no address")?;
        if uri.origin() != vault.origin() || !uri.username().is_empty() || uri.password().is_some() {
            let ours = vault.host_str().unwrap_or_default();
            return Err(format!("it names another vault than {ours}, which gets no token of ours"));
        }
        let mut parts = uri.path().trim_matches('/').split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("secrets"), Some(name), version, None) => Self::of(name, version),
            _ => Err("its `SecretUri` has another path than /secrets/<name>[/<version>]".into()),
        }
    }

    fn of(name: &str, version: Option<&str>) -> Result<Self, String> {
        if !is_word(name, NAME_MAX, |c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err("a secret's name is 1 to 127 letters, digits and hyphens".into());
        }
        if version.is_some_and(|version| !is_word(version, VERSION_MAX, |c| c.is_ascii_alphanumeric())) {
            return Err("a version is 1 to 64 letters and digits".into());
        }
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

fn is_word(text: &str, max: usize, is_part: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, Option<String>), String> {
        let vault = Url::parse("https://kv-ops.vault.azure.net/").unwrap();
        Reference::parse(text, &vault).map(|reference| (reference.name, reference.version))
    }

    #[test]
    fn both_forms_name_a_secret_with_or_without_a_version() {
        let named = |version: Option<&str>| Ok(("db-1".to_owned(), version.map(str::to_owned)));
        assert_eq!(parse("keyvault:db-1"), named(None));
        assert_eq!(parse("keyvault:db-1/ab12"), named(Some("ab12")));
        let of = |uri: &str| parse(&format!("@Microsoft.KeyVault(SecretUri={uri})"));
        assert_eq!(of("https://kv-ops.vault.azure.net/secrets/db-1"), named(None));
        assert_eq!(of("https://kv-ops.vault.azure.net/secrets/db-1/"), named(None));
        assert_eq!(of("https://KV-OPS.vault.azure.net:443/secrets/db-1/ab12"), named(Some("ab12")));
    }

    #[test]
    fn another_vault_is_refused_whatever_it_looks_like() {
        for uri in [
            "https://other.vault.azure.net/secrets/db-1",
            "https://kv-ops.vault.azure.net.example.com/secrets/db-1",
            "http://kv-ops.vault.azure.net/secrets/db-1",
            "https://kv-ops.vault.azure.net:8443/secrets/db-1",
            "https://kv-ops.vault.azure.net@example.com/secrets/db-1",
            "https://me:x@kv-ops.vault.azure.net/secrets/db-1",
        ] {
            let told = parse(&format!("@Microsoft.KeyVault(SecretUri={uri})")).unwrap_err();
            assert!(told.contains("another vault"), "{uri}: {told}");
        }
    }

    #[test]
    fn what_is_no_reference_is_not_repeated() {
        for text in [
            "",
            "hunter2",
            "keyvault:",
            "keyvault:hunter2_",
            "keyvault:hunter2/",
            "keyvault:a/hunter2/c",
            "keyvault:../hunter2",
            "@Microsoft.KeyVault(VaultName=hunter2;SecretName=b)",
            "@Microsoft.KeyVault(SecretUri=hunter2)",
            "@Microsoft.KeyVault(SecretUri=https://kv-ops.vault.azure.net/keys/hunter2)",
            "@Microsoft.KeyVault(SecretUri=https://kv-ops.vault.azure.net/secrets/a/b/hunter2)",
        ] {
            let told = parse(text).unwrap_err();
            assert!(!told.is_empty() && !told.contains("hunter2"), "{text}: {told}");
        }
    }
}
