//! `verify`: golden cases of the reference implementations through the functions that `bench` calls.

use std::path::PathBuf;

use clap::Args;
use diffguard_oracle::{Case, Kind, case_files, verify};

use crate::experiment::unknown;
use crate::{Error, Result, device};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Case files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only the cases of this kind
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// Where networks and samplers run: cpu, cuda:N, vulkan:N, wgpu:N
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

impl Verify {
    pub(crate) fn run(self) -> Result<()> {
        diffguard_models::verify::run_on(device::parse(&self.device)?);
        let kinds = kinds();
        if let Some(kind) = &self.kind
            && !kinds.iter().any(|known| known.name == kind)
        {
            let what = unknown(kind, kinds.iter().map(|known| known.name));
            return Err(Error::Setting(format!("--kind {what}")));
        }
        let (mut passed, mut failed) = (0usize, 0usize);
        for path in &self.paths {
            for file in case_files(path)? {
                let case = Case::open(&file);
                if let (Some(kind), Ok(case)) = (&self.kind, &case)
                    && case.kind != *kind
                {
                    continue;
                }
                let faults = case.and_then(|case| verify(&case, &kinds));
                let faults: Vec<String> = match faults {
                    Ok(faults) => faults.iter().map(ToString::to_string).collect(),
                    Err(error) => vec![error.to_string()],
                };
                match faults.is_empty() {
                    true => {
                        passed += 1;
                        println!("passed  {}", file.display());
                    }
                    false => {
                        failed += 1;
                        println!("FAILED  {}", file.display());
                        for fault in faults {
                            println!("        {fault}");
                        }
                    }
                }
            }
        }
        println!("{passed} passed, {failed} failed");
        match failed {
            0 if passed == 0 => Err(Error::Setting("there is no such case".into())),
            0 => Ok(()),
            _ => Err(Error::Setting(format!(
                "{failed} of {} golden cases failed",
                passed + failed
            ))),
        }
    }
}

/// Every kind of case that some crate can run.
fn kinds() -> Vec<Kind> {
    [
        diffguard_datasets::verify::KINDS,
        diffguard_models::verify::KINDS,
        diffguard_guidance::verify::KINDS,
        diffguard_ood::verify::KINDS,
        crate::golden::KINDS,
    ]
    .concat()
}
