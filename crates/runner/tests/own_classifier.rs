//! A user's own classifier: a checkpoint of one's own and a TOML with family, sizes, key map and preprocessing, measured
//! as `cargo xtask accuracy --config` does.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor, TensorData};
use diffguard_datasets::{ImageSet, ImageShape};
use diffguard_models::Classifier;
use diffguard_models::checkpoint::load;
use diffguard_models::resnet18_32::{Resnet18SmallConfig, key_map};
use diffguard_models::verify::procedural::Procedural;
use diffguard_runner::data::Data;
use diffguard_runner::model::FoundClassifier;
use diffguard_runner::{Error, Root, accuracy};

const SIDE: usize = 8;
const CLASSES: usize = 6;
const IMAGES: usize = 10;

/// What the user wrote: the file names the network `backbone`, its last layer `classifier`, and holds a counter.
const KEYS: &str = "[keys]\nroots = ['model']\nstrip = ['backbone']\nignore = ['*.num_batches_tracked', 'epoch']\n\
                    rename = [['classifier', 'fc'], ['shortcut.0', 'shortcut.conv'], ['shortcut.1', 'shortcut.norm']]\n";
const NETWORK: &str = "[network]\nfamily = 'resnet18-32'\nwidth = 4\nnum_classes = 6\ninput_side = 8\n\
                       mean = [0.4, 0.5, 0.6]\nstd = [0.2, 0.25, 0.3]\n";

fn config() -> Resnet18SmallConfig {
    Resnet18SmallConfig::new(CLASSES)
        .with_width(4)
        .with_input_side(SIDE)
        .with_mean(vec![0.4, 0.5, 0.6])
        .with_std(vec![0.2, 0.25, 0.3])
}

/// Writes safetensors by hand, as another program would.
fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let from = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry =
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length, header.as_slice(), &data].concat()).unwrap();
}

/// The checkpoint under the user's names, and the network that it is of.
fn checkpoint(path: &Path) -> impl Classifier + use<> {
    let device = Device::flex();
    let network = config().init(&device);
    let source = Procedural::of(&network, &key_map()).source();
    let mut tensors: Vec<_> = source
        .entries()
        .iter()
        .map(|(name, entry)| {
            let name = name.replace("fc.", "classifier.");
            let values = entry.values().unwrap();
            (
                format!("model.backbone.{name}"),
                entry.shape.clone(),
                values,
            )
        })
        .collect();
    tensors.push(("model.epoch".into(), vec![1], vec![7.0]));
    tensors.push((
        "model.backbone.bn1.num_batches_tracked".into(),
        vec![1],
        vec![9.0],
    ));
    tensors.push(("optimizer.step".into(), vec![1], vec![1.0]));
    write(path, &tensors);
    load(network, &source, &key_map()).unwrap()
}

/// Noise whose brightness and colour change from image to image, so that the classes do.
fn pixels() -> Vec<u8> {
    let length = 3 * SIDE * SIDE;
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) % 97;
    (0..IMAGES * length)
        .map(|i| {
            let (image, channel) = (i / length, i % length / (SIDE * SIDE));
            (noise(i) + (image * 53 + channel * image * 31) % 158) as u8
        })
        .collect()
}

fn images(labels: Vec<i64>) -> ImageSet {
    let shape = ImageShape {
        channels: 3,
        height: SIDE,
        width: SIDE,
    };
    let ids = (0..IMAGES).map(|i| format!("mine/{i}")).collect();
    ImageSet::new("mine", shape, pixels(), labels, ids).unwrap()
}

fn logits(network: &dyn Classifier) -> Vec<f32> {
    let set = images(vec![0; IMAGES]);
    let data = TensorData::new(set.signed(0..IMAGES), [IMAGES, 3, SIDE, SIDE]);
    let logits = network.logits(Tensor::from_data(data, &Device::flex()));
    logits.into_data().try_into_vec().unwrap()
}

struct Place {
    folder: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::find().unwrap();
        Self { folder, root }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mine.safetensors")
    }

    fn describe(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("mine.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn find(&self, model: &Path, config: Option<&Path>) -> Result<FoundClassifier, Error> {
        let data = Data::new(&self.root, self.root.data()).unwrap();
        FoundClassifier::find(model.to_str().unwrap(), config, &data, &self.root)
    }
}

#[test]
fn it_is_measured_as_its_description_says() {
    let place = Place::new();
    let own = checkpoint(&place.file());
    let text = format!("checkpoint = 'mine.safetensors'\n{NETWORK}{KEYS}");
    let toml = place.describe(&text);
    let expected = logits(&own);
    let predicted: Vec<i64> = expected
        .chunks(CLASSES)
        .map(|row| {
            (0..CLASSES)
                .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                .unwrap() as i64
        })
        .collect();
    // The bare file with --config, and the description itself.
    for found in [
        place.find(&place.file(), Some(&toml)).unwrap(),
        place.find(&toml, None).unwrap(),
    ] {
        assert_eq!((found.name.as_str(), &found.path), ("mine", &place.file()));
        let network = found.load(&Device::flex()).unwrap();
        assert_eq!(logits(&*network), expected);
        // Right on seven of ten images, whatever the network says of them.
        let labels = predicted.iter().enumerate();
        let labels = labels.map(|(i, &class)| (class + i64::from(i >= 7)) % CLASSES as i64);
        let measured = accuracy::measure(
            &*network,
            &images(labels.collect()),
            &Device::flex(),
            (&found.name, &found.sha256),
            "here".into(),
            &AtomicBool::new(false),
        )
        .unwrap();
        assert_eq!((measured.correct, measured.images), (7, 10));
        assert_eq!(format!("{:.2}", measured.percent), "70.00");
    }
    // Each part of the description counts.
    let other = place.describe(&text.replace("[0.2, 0.25, 0.3]", "[0.3, 0.25, 0.2]"));
    let network = place.find(&place.file(), Some(&other)).unwrap();
    assert_ne!(logits(&*network.load(&Device::flex()).unwrap()), expected);
}

#[test]
fn what_does_not_fit_is_told() {
    let place = Place::new();
    let _ = checkpoint(&place.file());
    let text = format!("checkpoint = 'mine.safetensors'\n{NETWORK}{KEYS}");
    let refused = |text: &str| {
        let found = place.find(&place.file(), Some(&place.describe(text)));
        let loaded = found.and_then(|found| found.load(&Device::flex()).map(|_| ()));
        loaded.unwrap_err().to_string()
    };
    let message = refused(&text.replace("num_classes = 6", "num_classes = 8"));
    assert!(
        message.contains("fc.weight") || message.contains("classifier.weight"),
        "{message}"
    );
    assert!(
        message.contains("[6, 32]") && message.contains("[8, 32]"),
        "{message}"
    );
    let message = refused(&text.replace("'backbone'", "'trunk'"));
    assert!(
        message.contains("missing") && message.contains("unexpected"),
        "{message}"
    );
    let message = refused(&text.replace("'resnet18-32'", "'resnet19'"));
    assert!(
        message.contains("resnet19") && message.contains("mine.toml"),
        "{message}"
    );
    // A file that nobody knows, without a description.
    let message = place.find(&place.file(), None).err().unwrap().to_string();
    assert!(message.contains("--config"), "{message}");
}
