//! Files in an object store, by URL.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, parse_url_opts};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::Files;
use crate::{Error, Result};

/// A folder of an object store. An object appears whole or not at all, so any number of runs may share it.
pub(super) struct Objects {
    url: Url,
    folder: Path,
    store: Arc<dyn ObjectStore>,
    /// What the store's futures run on: whichever thread asks drives it.
    runtime: Runtime,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store itself holds credentials.
        write!(f, "Objects({})", self.url)
    }
}

impl Objects {
    /// Opens the store of a URL. Stores in a cloud take their credentials and endpoints from the environment, under the
    /// names that `object_store` documents (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, …).
    pub(super) fn open(text: &str) -> Result<Self> {
        let fault = |what: String| Error::Setting(format!("--store {text}: {what}"));
        let url = Url::parse(text).map_err(|error| fault(error.to_string()))?;
        let unknown = "write file:///folder, memory:///, s3://bucket/folder, gs://… or az://…";
        let (scheme, _) =
            ObjectStoreScheme::parse(&url).map_err(|error| fault(format!("{error}; {unknown}")))?;
        if let Some(feature) = not_built_in(&scheme) {
            return Err(fault(format!(
                "this program was built without `{feature}`: run `cargo run --release --package xtask --features \
                 {feature} -- …` in place of `cargo xtask …`"
            )));
        }
        if !matches!(
            scheme,
            ObjectStoreScheme::Local
                | ObjectStoreScheme::Memory
                | ObjectStoreScheme::AmazonS3
                | ObjectStoreScheme::GoogleCloudStorage
                | ObjectStoreScheme::MicrosoftAzure
        ) {
            return Err(fault(format!("no store that can be written; {unknown}")));
        }
        // Names that no store knows are passed over, and with them what is no text.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let (store, folder) =
            parse_url_opts(&url, environment).map_err(|error| fault(error.to_string()))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self {
            url,
            folder,
            store: store.into(),
            runtime,
        })
    }

    fn path(&self, folder: &str, name: &str) -> Path {
        self.folder.clone().join(folder).join(name)
    }

    fn fault(&self, path: &Path, error: &object_store::Error) -> Error {
        let mend = match error {
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => {
                "; check the credentials in the environment"
            }
            _ => "; mend it and run the same command again, it goes on from there",
        };
        Error::Setting(format!(
            "{path} in the store {}: {}{mend}",
            self.url,
            chain(error)
        ))
    }
}

/// An error with its causes: those of a store tell little by themselves.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    text
}

/// The cargo feature that a scheme needs, where this program was built without it.
fn not_built_in(scheme: &ObjectStoreScheme) -> Option<&'static str> {
    match scheme {
        ObjectStoreScheme::AmazonS3 if !cfg!(feature = "s3") => Some("s3"),
        ObjectStoreScheme::GoogleCloudStorage if !cfg!(feature = "gcs") => Some("gcs"),
        ObjectStoreScheme::MicrosoftAzure if !cfg!(feature = "azure") => Some("azure"),
        _ => None,
    }
}

impl Files for Objects {
    fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(folder, name);
        let read = async { self.store.get(&path).await?.bytes().await };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(&path, &error)),
        }
    }

    fn write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.path(folder, name);
        self.runtime
            .block_on(self.store.put(&path, bytes.into()))
            .map(|_| ())
            .map_err(|error| self.fault(&path, &error))
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.folder.clone().join(folder);
        let listed = self
            .runtime
            .block_on(self.store.list_with_delimiter(Some(&path)));
        let listed = match listed {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.fault(&path, &error)),
        };
        let names = listed
            .objects
            .iter()
            .filter_map(|it| it.location.filename());
        Ok(names.map(str::to_owned).collect())
    }

    fn place(&self) -> String {
        self.url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Key, Output, Store, StorePlace};

    fn there_and_back(store: &Store) {
        let key = Key::of(b"x");
        let output = Output {
            seconds: 0.5,
            ..Output::default()
        };
        assert_eq!(store.get("invert", &key).unwrap(), None);
        assert!(store.keys("invert").unwrap().is_empty());
        store.put("invert", &key, &output).unwrap();
        store.put("invert", &key, &output).unwrap();
        store.put("observe", &Key::of(b"y"), &output).unwrap();
        assert_eq!(store.get("invert", &key).unwrap(), Some(output));
        let keys: Vec<String> = store.keys("invert").unwrap().into_iter().collect();
        assert_eq!(keys, [key.as_str()]);
        store.note("shards", "a.json", b"{}".to_vec()).unwrap();
        assert_eq!(store.notes("shards").unwrap()["a.json"], b"{}");
    }

    fn open(url: &str) -> Result<Store> {
        Store::open(&StorePlace::Url(url.to_owned()))
    }

    #[test]
    fn what_is_put_comes_back_from_memory_and_from_a_folder() {
        there_and_back(&open("memory:///runs/here").unwrap());
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a run", folder.path().display());
        there_and_back(&open(&url).unwrap());
        // The same files as the store in that folder: one can go on where the other stopped.
        let same = Store::new(folder.path().join("a run"));
        assert_eq!(same.keys("invert").unwrap().len(), 1);
        assert!(same.get("invert", &Key::of(b"x")).unwrap().is_some());
    }

    #[test]
    fn threads_share_a_store() {
        let store = open("memory:///").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..50_u8 {
                        let output = Output {
                            seconds: f64::from(i),
                            ..Output::default()
                        };
                        let key = Key::of(&[thread, i]);
                        store.put("invert", &key, &output).unwrap();
                        assert_eq!(store.get("invert", &key).unwrap(), Some(output));
                    }
                });
            }
        });
        assert_eq!(store.keys("invert").unwrap().len(), 200);
    }

    #[test]
    fn urls_that_are_none_are_refused_with_what_there_is() {
        let fault = |url: &str| open(url).unwrap_err().to_string();
        assert!(fault("ftp://host/folder").contains("file:///folder"));
        assert!(fault("https://example.com/x").contains("s3://bucket"));
        if !cfg!(feature = "s3") {
            assert!(fault("s3://bucket/x").contains("--features s3"));
        }
    }
}
