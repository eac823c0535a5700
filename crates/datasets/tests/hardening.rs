//! Foreign bytes of every kind, damaged in every way: no panic, no memory beyond the stated limit, nothing written, and
//! errors that name file, entry and mend. 10,000 cases, the same in every run; `DIFFGUARD_CASES=50` takes 50 times as many.
//!
//! All in one test, so that the memory that is counted is that of the case; the other test here is done in no time.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use diffguard_datasets::fuzz::{INPUT, MEMORY, TARGETS, Target};
use diffguard_datasets::{Error, idx};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Counts what is held and what was held at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One way of damaging bytes; places are shares of the length.
#[derive(Clone, Debug)]
enum Damage {
    Truncate(f64),
    Flip(f64, u8),
    /// A hostile number, in either byte order.
    Number(f64, u64, usize, bool),
    /// A word in the other byte order.
    Swap(f64),
    /// A piece twice.
    Twice(f64, usize),
    Insert(f64, Vec<u8>),
    /// A hostile name over what is there.
    Name(f64, &'static [u8]),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = || 0.0f64..1.0;
    let numbers = prop::sample::select(vec![
        0,
        1,
        255,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        0xffff_ffff,
        1 << 32,
        u64::MAX >> 1,
        1 << 63,
        u64::MAX,
    ]);
    let widths = prop::sample::select(vec![1, 2, 4, 8]);
    let names: Vec<&[u8]> = vec![b"../x", b"/etc/x", b"..\\x", b"C:/x", b"\0\0", b"\xff\xfe"];
    prop_oneof![
        2 => place().prop_map(Damage::Truncate),
        4 => (place(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (place(), numbers, widths, any::<bool>())
            .prop_map(|(at, number, width, big)| Damage::Number(at, number, width, big)),
        1 => place().prop_map(Damage::Swap),
        1 => (place(), 1usize..2000).prop_map(|(at, length)| Damage::Twice(at, length)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..600))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (place(), prop::sample::select(names)).prop_map(|(at, name)| Damage::Name(at, name)),
    ]
}

/// The place of a share: half of the cases lie in the first or the last 600 bytes, where headers are.
fn place(bytes: &[u8], share: f64) -> usize {
    let length = bytes.len();
    let near = length.min(600) as f64;
    let place = match (share * 4.0) as usize {
        0 => share * 4.0 * near,
        1 => length as f64 - 1.0 - (share * 4.0 - 1.0) * near,
        _ => (share * 2.0 - 1.0) * length as f64,
    };
    (place.max(0.0) as usize).min(length.saturating_sub(1))
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let over = |bytes: &mut Vec<u8>, at: usize, new: &[u8]| {
        for (old, new) in bytes[at..].iter_mut().zip(new) {
            *old = *new;
        }
    };
    match damage {
        Damage::Truncate(at) => bytes.truncate(place(bytes, *at)),
        Damage::Flip(at, bit) => {
            let at = place(bytes, *at);
            bytes[at] ^= 1 << bit;
        }
        Damage::Number(at, number, width, big) => {
            let at = place(bytes, *at);
            match big {
                true => over(bytes, at, &number.to_be_bytes()[8 - width..]),
                false => over(bytes, at, &number.to_le_bytes()[..*width]),
            }
        }
        Damage::Swap(at) => {
            let at = place(bytes, *at) & !3;
            let end = (at + 4).min(bytes.len());
            bytes[at..end].reverse();
        }
        Damage::Twice(at, length) => {
            let at = place(bytes, *at);
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Damage::Insert(at, new) => {
            let at = place(bytes, *at);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Name(at, name) => {
            let at = place(bytes, *at);
            over(bytes, at, name);
        }
    }
}

/// Makes the checksums of tar headers and PNG chunks right again, so that what they guard is met.
fn mend_checksums(name: &str, bytes: &mut [u8]) {
    if name == "tar" || name == "tar_gz" {
        let blocks = bytes.as_chunks_mut::<512>().0.iter_mut();
        for block in blocks.filter(|block| block[257..].starts_with(b"ustar")) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    if bytes.starts_with(b"\x89PNG") {
        let mut at = 8;
        while let Some(head) = bytes.get(at..at + 4) {
            let length = u32::from_be_bytes(head.try_into().unwrap()) as usize;
            let Some(body) = bytes.get(at + 4..(at + 8).saturating_add(length)) else {
                return;
            };
            let mut crc = flate2::Crc::new();
            crc.update(body);
            let sum = crc.sum().to_be_bytes();
            let Some(place) = bytes.get_mut(at + 8 + length..at + 12 + length) else {
                return;
            };
            place.copy_from_slice(&sum);
            at += 12 + length;
        }
    }
}

/// Whole files for a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = |name: &str, extensions: &[&str]| -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = fs::read_dir(fixtures.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                extensions
                    .iter()
                    .any(|e| path.extension().is_some_and(|x| x == *e))
            })
            .collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    };
    let long = "long/".repeat(40) + "name.png";
    let noise: Vec<u8> = (0..2000u32).map(|i| (i * i * 31 >> 5) as u8).collect();
    let files: &[(&str, &[u8])] = &[("a/b.png", b"abc"), (&long, &noise), ("a/c.png", &[7; 900])];
    let tars = vec![
        common::tar(files),
        common::tar(&files[..1]),
        common::odd_tar(b"a/link", tar::EntryType::Symlink, 0, b""),
    ];
    match target {
        // What is gzipped is damaged before and after, see `case`.
        "tar" | "tar_gz" => tars,
        "zip" => vec![common::zip(files), common::zip(&files[..1])],
        "decode" => folder("decode", &["jpg", "png"]),
        "mat5" => folder("mat5", &["mat"]),
        "parquet" => folder("parquet", &["parquet"]),
        "idx" => {
            let values: Vec<u8> = (0..60).collect();
            let packed = idx::write_gzip(&[3, 5, 4], &values).unwrap();
            vec![idx::unpack(Path::new("t"), &packed).unwrap(), packed]
        }
        "cifar_sheet" => {
            let mut bytes = Vec::new();
            let sheet =
                image::RgbImage::from_fn(1024, 16, |x, y| image::Rgb([(x / 8) as u8, y as u8, 9]));
            sheet
                .write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png)
                .unwrap();
            vec![bytes]
        }
        "cifar_records" => vec![(0..4 * 3074).map(|i| (i % 19) as u8).collect()],
        other => panic!("no seeds for {other}"),
    }
}

thread_local! {
    /// What the readers did with the cases.
    static SEEN: Cell<(usize, usize, usize)> = const { Cell::new((0, 0, 0)) };
}

fn case(
    target: &Target,
    mut bytes: Vec<u8>,
    damages: &[Damage],
    mended: bool,
    outside: bool,
) -> Result<(), TestCaseError> {
    let gzipped = target.name == "tar_gz";
    if gzipped && outside {
        bytes = common::gzip(&bytes);
    }
    for damage in damages {
        apply(&mut bytes, damage);
    }
    if mended {
        mend_checksums(target.name, &mut bytes);
    }
    if gzipped && !outside {
        bytes = common::gzip(&bytes);
    }
    bytes.truncate(INPUT);
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let run = catch_unwind(AssertUnwindSafe(|| {
        (target.run)(Path::new("hostile.bin"), &bytes)
    }));
    let most = MOST.load(Ordering::Relaxed) - before;
    prop_assert!(most <= MEMORY, "{}: {most} bytes held", target.name);
    let (mut read, mut refused, largest) = SEEN.get();
    match run {
        Err(_) => return Err(TestCaseError::fail(format!("{}: panic", target.name))),
        Ok(Ok(())) => read += 1,
        Ok(Err(error)) => {
            refused += 1;
            let text = error.to_string();
            prop_assert!(
                matches!(error, Error::Format { .. }) && text.starts_with("hostile.bin: "),
                "{}: {text}",
                target.name
            );
            prop_assert!(text.contains("\n  mend: "), "{}: {text}", target.name);
        }
    }
    SEEN.set((read, refused, largest.max(most)));
    Ok(())
}

#[test]
fn ten_thousand_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    std::env::set_current_dir(&inner).unwrap();
    let started = std::time::Instant::now();
    let times = std::env::var("DIFFGUARD_CASES").map_or(1, |times| times.parse().unwrap());
    let mut cases = 0;
    for target in TARGETS {
        let share = match target.name {
            "cifar_sheet" | "cifar_records" | "idx" => 500,
            "tar" => 1500,
            _ => 1400,
        } * times;
        cases += share;
        let config = Config {
            cases: share,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let strategy = (
            prop::sample::select(seeds(target.name)),
            prop::collection::vec(damage(), 0..5),
            any::<bool>(),
            any::<bool>(),
        );
        SEEN.set((0, 0, 0));
        let run = TestRunner::new_with_rng(config, rng)
            .run(&strategy, |(bytes, damages, mended, outside)| {
                case(target, bytes, &damages, mended, outside)
            });
        let (read, refused, most) = SEEN.get();
        println!(
            "{}: {read} read, {refused} refused, at most {most} bytes held",
            target.name
        );
        run.unwrap_or_else(|error| panic!("{}: {error}", target.name));
        assert!(read > 0 && refused > 0, "{}", target.name);
    }
    let elapsed = started.elapsed();
    println!("{cases} cases in {elapsed:?}");
    assert!(cases >= 10_000);
    assert!(elapsed.as_secs() < 120 * u64::from(times));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        let file = fuzz.join(format!("fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("run(\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
