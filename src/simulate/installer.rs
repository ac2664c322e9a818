//! What the booted system reports, as an installer's last command does.

use super::StepError;
use super::http::Http;
use super::words::{encode, of_session, url_in};

/// What an installer reports at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Installer {
    /// Nothing.
    #[default]
    Silent,
    /// That it is done.
    Done,
    /// That it failed, and why.
    Failed(String),
}

impl Installer {
    /// Reports where the kernel's command line says, else where the session of the script takes it. What was answered.
    pub(super) async fn report(
        &self,
        http: &Http,
        command_line: &str,
        script: &str,
    ) -> Result<Option<String>, StepError> {
        let (name, form) = match self {
            Installer::Silent => return Ok(None),
            Installer::Done => ("done", None),
            Installer::Failed(reason) => ("failed", Some(format!("reason={}", encode(reason)))),
        };
        let url = url_in(command_line, name).or_else(|| of_session(script, name));
        let url = url.ok_or_else(|| StepError::new("the installer does not know where to report"))?;
        let answer = http.load(&url, form).await?.text.unwrap_or_default();
        Ok(Some(format!("installer: {name}: {}", answer.trim())))
    }
}
