//! Case files in folders.

use std::path::{Path, PathBuf};

use crate::{Case, Error, Kind, Result, verify};

/// The case files at `path`: itself, or all below it in order. Files that hold nothing but weights are no cases.
///
/// # Errors
/// [`Error::File`] when a folder cannot be read, or there is no case.
pub fn case_files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(path, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(Error::file(path, "no case (*.safetensors) here"));
    }
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        return match path.exists() {
            true => {
                found.push(path.to_owned());
                Ok(())
            }
            false => Err(Error::file(path, "no such file or folder")),
        };
    }
    let entries = std::fs::read_dir(path).map_err(|error| Error::file(path, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::file(path, error))?.path();
        let weights_alone = entry.file_name().is_some_and(|name| name == "weights");
        if entry.is_dir() && !weights_alone {
            collect(&entry, found)?;
        } else if entry
            .extension()
            .is_some_and(|ending| ending == "safetensors")
        {
            found.push(entry);
        }
    }
    Ok(())
}

/// Runs every case of the kind in `folder`, for tests.
///
/// # Panics
/// With all faults, when a case does not pass, or there is none.
pub fn assert_folder(folder: &Path, kinds: &[Kind]) {
    let files = case_files(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut report = String::new();
    for file in &files {
        match Case::open(file).and_then(|case| verify(&case, kinds)) {
            Ok(faults) => {
                for fault in faults {
                    report += &format!("{}: {fault}\n", file.display());
                }
            }
            Err(error) => report += &format!("{}: {error}\n", file.display()),
        }
    }
    assert!(report.is_empty(), "{} files\n{report}", files.len());
}
