//! `opsloop package`: stages dist/ as the deployment wants it (P11): host.json, one folder a function, the binary under
//! the very name of `defaultExecutablePath`, for only that zip entry gets its exec bit.

use std::{
    error::Error,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub fn stage(root: &Path, binary: Option<PathBuf>, out: &Path) -> Result<String, Box<dyn Error>> {
    let host: serde_json::Value = serde_json::from_str(&fs::read_to_string(root.join("host.json"))?)?;
    let name = executable(&host)?;
    if out.exists() {
        if !out.join("host.json").is_file() {
            return Err(format!(
                "{} is there and is no package of ours; remove it or choose another --out",
                out.display()
            )
            .into());
        }
        fs::remove_dir_all(out)?;
    }
    fs::create_dir_all(out)?;
    fs::copy(root.join("host.json"), out.join("host.json"))?;
    let mut functions = 0;
    for entry in fs::read_dir(root.join("functions"))? {
        let entry = entry?;
        let source = entry.path().join("function.json");
        if source.is_file() {
            fs::create_dir_all(out.join(entry.file_name()))?;
            fs::copy(source, out.join(entry.file_name()).join("function.json"))?;
            functions += 1;
        }
    }
    let binary = match binary {
        Some(path) => path,
        None => std::env::current_exe()?,
    };
    fs::copy(&binary, out.join(&name))?;
    fs::set_permissions(out.join(&name), fs::Permissions::from_mode(0o755))?;
    let bytes = fs::metadata(out.join(&name))?.len();
    Ok(format!(
        "{}: host.json, {functions} functions, {name} ({:.1} MB)\nnext: func azure functionapp publish <APP> --custom, in that folder",
        out.display(),
        bytes as f64 / 1e6
    ))
}

/// `handler`, never `./handler`: the exec bit goes to the entry whose path is byte-equal.
fn executable(host: &serde_json::Value) -> Result<String, String> {
    let path = host["customHandler"]["description"]["defaultExecutablePath"].as_str().unwrap_or_default();
    match path.is_empty() || path.contains('/') {
        true => Err(format!("host.json: defaultExecutablePath is `{path}`; it must be a bare name")),
        false => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_only_a_bare_name_gets_the_exec_bit() {
        let host = |path: &str| serde_json::json!({"customHandler": {"description": {"defaultExecutablePath": path}}});
        assert_eq!(executable(&host("opsloop")).unwrap(), "opsloop");
        assert!(executable(&host("./opsloop")).is_err());
        assert!(executable(&serde_json::json!({})).is_err());
    }
}
