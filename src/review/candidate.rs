//! A configuration with other scripts in the place of the live ones: what a folder of candidates would be asked as.

use std::path::{Path, PathBuf};

use crate::config::{Config, HandlerSection};

/// The site with the scripts of a folder that has files of the same names; what it lacks stays as it is. Data files come
/// from `data`, else from a folder `data` in or beside that of the scripts, else they stay.
///
/// # Errors
/// When the folder has none of the scripts, with the names that were looked for.
pub fn candidate(config: &Config, scripts: Option<&Path>, data: Option<&Path>) -> Result<Config, String> {
    let mut candidate = config.clone();
    if let Some(folder) = data.filter(|folder| !folder.is_dir()) {
        return Err(format!("there is no folder {}", folder.display()));
    }
    let beside = || {
        let folder = scripts?;
        let found = [folder.join("data"), folder.parent()?.join("data")];
        found.into_iter().find(|folder| folder.is_dir())
    };
    let data: Option<PathBuf> = data.map(Path::to_owned).or_else(beside);
    let (mut wanted, mut found) = (Vec::new(), 0);
    for section in &mut candidate.handlers {
        let HandlerSection::Script(section) = section else { continue };
        for file in [&mut section.allow_boot, &mut section.boot_images] {
            let (Some(folder), Some(name)) = (scripts, file.file_name()) else { continue };
            wanted.push(name.to_string_lossy().into_owned());
            let other = folder.join(name);
            if other.is_file() {
                *file = other;
                section.scripts = folder.to_owned();
                found += 1;
            }
        }
        if let Some(data) = &data {
            section.data = data.clone();
        }
    }
    match scripts {
        Some(folder) if found == 0 => {
            wanted.dedup();
            let names =
                if wanted.is_empty() { "a handler of kind \"script\"".to_owned() } else { wanted.join(" and ") };
            Err(format!("{} has no script of this site; it is looked through for {names}", folder.display()))
        }
        _ => Ok(candidate),
    }
}
