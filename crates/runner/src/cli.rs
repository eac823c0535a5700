//! The command line: parse, then call; errors end in one place, in the caller of [`Command::run`].

use clap::Subcommand;

use crate::Result;
use crate::commands::{
    Accuracy, Bench, Compare, Datasets, Evaluate, Fetch, List, Merge, Model, Perf, PrepareQuick,
    Sample, Score, SeedsOf, Tables, Train, Verify,
};

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment: scores, metrics, tables, plots and pictures
    Bench(Bench),
    /// Bring the shards of a run together and write its tables
    Merge(Merge),
    /// Score images by a finished benchmark; exits with 1 when one is out-of-distribution
    Score(Score),
    /// Bring data sets and checkpoints into the cache; goes on where an earlier fetch stopped
    Fetch(Fetch),
    /// Show which data sets are at hand, what a benchmark is made of, and sample pictures
    Datasets(Datasets),
    /// Check somebody else's scores against a benchmark's samples, and put them beside ours
    Evaluate(Evaluate),
    /// Two rows of a run: their difference with interval and p-value, and the samples on which they disagree
    Compare(Compare),
    /// Runs with one classifier after another under protection (`bench --protect`): means and standard deviations
    Seeds(SeedsOf),
    /// Name every experiment, method, similarity, data set and network
    List(List),
    /// Train a network from a configuration; goes on where an earlier run stopped
    Train(Train),
    /// Make the tables and plots of stored runs again, from their scores alone
    Tables(Tables),
    /// How often a classifier is right on a test set
    Accuracy(Accuracy),
    /// What a network is and what it costs
    Model(Model),
    /// How good a diffusion network is: samples of every class, and reconstructions
    Sample(Sample),
    /// Compare with golden cases of the reference implementations
    Verify(Verify),
    /// Measure the speed, beside PyTorch's on the same cores where asked
    Perf(Perf),
    /// Rebuild assets/quick from the original data files
    PrepareQuick(PrepareQuick),
}

impl Command {
    /// Runs the command; the process's exit status.
    ///
    /// # Errors
    /// Whatever it meets; [`Error::exit_code`](crate::Error::exit_code) is the process's exit status then.
    pub fn run(self) -> Result<u8> {
        match self {
            Self::Score(command) => return command.run(),
            Self::Bench(command) => command.run(),
            Self::Merge(command) => command.run(),
            Self::Fetch(command) => command.run(),
            Self::Datasets(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Compare(command) => command.run(),
            Self::Seeds(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Tables(command) => command.run(),
            Self::Accuracy(command) => command.run(),
            Self::Model(command) => command.run(),
            Self::Sample(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Perf(command) => command.run(),
            Self::PrepareQuick(command) => command.run(),
        }
        .map(|()| 0)
    }
}
