//! The questions that scripts answer.

/// One of the two questions that a script may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// May this machine boot?
    AllowBoot,
    /// What does it boot?
    BootImages,
}

impl Question {
    /// The name of the function that answers.
    pub fn function(self) -> &'static str {
        match self {
            Question::AllowBoot => "allow_boot",
            Question::BootImages => "boot_images",
        }
    }
}
