//! What can go wrong in the method, and what would be right.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A noise schedule that cannot be built.
    #[error("noise schedule: {0}")]
    Schedule(String),

    /// A choice of steps that does not exist.
    #[error("spacing `{spacing}` of {steps} training steps: {reason}")]
    Spacing {
        /// The spacing as it was written.
        spacing: String,
        /// Number of training steps that it was to be taken from.
        steps: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },

    /// A setting outside its range, or one that means nothing together with another.
    #[error("setting `{setting}` = {value}: {reason}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },

    /// Tensors or lists that should belong to the same batch and do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was to be read.
        what: &'static str,
        /// What would be right.
        expected: String,
        /// What there was.
        got: String,
    },

    /// A label that the network has no class for.
    #[error("label {label} of sample {sample}: the network knows the classes 0 to {last}", last = classes.saturating_sub(1))]
    Label {
        /// The label.
        label: i64,
        /// Position of the sample in its batch.
        sample: usize,
        /// Number of classes of the network.
        classes: usize,
    },

    /// A similarity of that name does not exist.
    #[error("unknown similarity `{name}`; {hint}")]
    UnknownSimilarity {
        /// The name.
        name: String,
        /// The nearest name, and all of them.
        hint: String,
    },

    /// A similarity that cannot be computed on these images.
    #[error("similarity `{name}`: {reason}")]
    Similarity {
        /// Name of the similarity.
        name: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },

    /// Trained weights that cannot be used.
    #[error(transparent)]
    Weights(#[from] diffguard_models::Error),
}
