//! A case made of a boot: what a real machine asked, with everything that was known, and the answer that it got.
//!
//! **Invariant**: what is written is read by the same code as any other case, and was run before it is written.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use toml::Value as Toml;

use super::super::diagnose::ScriptErrors;
use super::super::{NOTED, Question, ScriptHandler};
use super::{CaseFailure, CaseFile, beside, run_cases};
use crate::boot::{
    Account, BootDecision, BootImages, BootRequest, Found, Identity, ImageKind, Outcome, Record, Step, Value, Verdict,
};

/// A case that is not yet in a file.
#[derive(Clone, Debug)]
pub struct RecordedCase {
    /// Its name.
    pub name: String,
    /// The file that it belongs into.
    pub file: PathBuf,
    /// What is written.
    pub text: String,
    /// What of the boot a case cannot say.
    pub left_out: Vec<String>,
    question: Question,
}

/// Why a boot becomes no case.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Another handler answered.
    #[error("the scripts of handler `{0}` were not asked this; {1}")]
    NotAsked(String, String),
    /// An answer is missing.
    #[error("{0}'s answer was too long to be kept, and the script needs it")]
    NotKept(String),
    /// The name is taken.
    #[error("{} has a case \"{name}\" already; choose another with --name", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// The file has mistakes, or the case would have.
    #[error(transparent)]
    Unreadable(#[from] ScriptErrors),
    /// The file cannot be read or written.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl ScriptHandler {
    /// Makes a case of a question that these scripts were asked in a boot; it belongs into `file`, else beside the script.
    ///
    /// # Errors
    /// When they were not asked, or an answer that they got was not kept.
    pub fn record_case(
        &self,
        name: &str,
        question: Question,
        request: &BootRequest,
        decision: &BootDecision,
        file: Option<&Path>,
    ) -> Result<RecordedCase, RecordError> {
        let at = decision.trail.iter().position(|step| step.handler == self.name && step.account.is_some());
        let (before, step) =
            at.map_or((&[][..], None), |at| (decision.trail.get(..at).unwrap_or_default(), decision.trail.get(at)));
        let Some((step, account)) = step.and_then(|step| Some((step, step.account.as_deref()?))) else {
            let answered = format!("{} answered", decision.handler);
            return Err(RecordError::NotAsked(self.name.clone(), answered));
        };
        let mut left_out = Vec::new();
        let mut text = String::new();
        facts(&mut text, name, question, request, &mut left_out);
        // The scripts saw what was known when they were asked, without what they noted themselves.
        let record = request.record.as_deref().filter(|_| !before.is_empty());
        let noted = step.outcome == Outcome::Passed && !step.detail.is_empty();
        expectation(&mut text, decision, step, request.record.as_deref().filter(|_| noted));
        tables(&mut text, request, record.map(|record| (record, noted)), account, &mut left_out)?;
        let file = file.map_or_else(|| beside(Path::new(self.program.file(question))), Path::to_owned);
        Ok(RecordedCase { name: name.to_owned(), file, text, left_out, question })
    }
}

impl RecordedCase {
    /// Runs the case as it will stand in its file; what differs, where something does.
    ///
    /// # Errors
    /// When the file has mistakes, or a case of this name.
    pub fn try_on(&self, handler: &ScriptHandler) -> Result<Vec<CaseFailure>, RecordError> {
        let (shown, queries) = (self.file.display().to_string(), handler.program.queries());
        let old = self.present()?;
        let parse = |text: &str| CaseFile::parse(&shown, text, self.question, queries).map_err(ScriptErrors);
        if parse(&old)?.cases.iter().any(|case| case.name == self.name) {
            return Err(RecordError::Exists { file: self.file.clone(), name: self.name.clone() });
        }
        let mut whole = parse(&self.joined(old))?;
        whole.cases.retain(|case| case.name == self.name);
        Ok(run_cases(handler, &whole))
    }

    /// Writes the case behind those that are there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self) -> Result<(), RecordError> {
        let old = self.present()?;
        let more = self.joined(old.clone());
        let wrong = |error| RecordError::File { file: self.file.clone(), error };
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.file).map_err(wrong)?;
        file.write_all(more.get(old.len()..).unwrap_or_default().as_bytes()).map_err(wrong)
    }

    fn present(&self) -> Result<String, RecordError> {
        match std::fs::read_to_string(&self.file) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(RecordError::File { file: self.file.clone(), error }),
        }
    }

    fn joined(&self, old: String) -> String {
        let gap = match (old.is_empty(), old.ends_with('\n')) {
            (true, _) => "",
            (false, true) => "\n",
            (false, false) => "\n\n",
        };
        format!("{old}{gap}{}", self.text)
    }
}

fn line(text: &mut String, key: &str, value: impl Into<Toml>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{key} = {}", value.into());
}

fn hex(octets: &[u8]) -> String {
    crate::hex::digits(octets)
}

/// Who asked, when, and where.
fn facts(text: &mut String, name: &str, question: Question, request: &BootRequest, left_out: &mut Vec<String>) {
    let (client, network) = (&request.client, &request.network);
    text.push_str("[[case]]\n");
    line(text, "name", name);
    line(text, "question", question.function());
    line(text, "stage", request.stage.name());
    line(text, "now", request.now.to_string());
    line(text, "mac", client.hardware.to_string());
    let optional = |text: &mut String, key: &str, value: Option<String>| {
        if let Some(value) = value {
            line(text, key, value);
        }
    };
    optional(text, "uuid", client.machine_id.map(|id| id.uuid().to_string()));
    line(text, "architecture", client.architecture.to_string());
    line(text, "vendor_class", client.vendor_class.as_str());
    line(text, "user_class", client.user_class.as_str());
    line(text, "ipxe", client.ipxe.is_some());
    if let Some(build) = &client.ipxe {
        let features = build.features.iter().map(|name| Toml::from(*name)).collect::<Vec<_>>();
        line(text, "ipxe_features", features);
        optional(text, "ipxe_version", build.version.map(|(major, minor, patch)| format!("{major}.{minor}.{patch}")));
        match build.nic {
            Some(nic) if nic.bus == 1 => line(text, "nic", nic.to_string()),
            Some(nic) => left_out.push(format!("the network card {nic}")),
            None => {}
        }
    }
    let given = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
    optional(text, "hostname", given(&client.hostname));
    optional(text, "interface", given(&network.interface));
    optional(text, "server_ip", network.server.map(|address| address.to_string()));
    optional(text, "client_ip", network.client.map(|address| address.to_string()));
    if let Some(relay) = &network.relay {
        line(text, "giaddr", relay.giaddr.to_string());
        optional(text, "circuit_id", given(&hex(&relay.circuit_id)));
        optional(text, "remote_id", given(&hex(&relay.remote_id)));
        left_out.extend(relay.link_selection.map(|subnet| format!("the relay's link selection {subnet}")));
    }
    optional(text, "site", given(&network.site));
    left_out.extend(client.undi.map(|(major, minor)| format!("the UNDI version {major}.{minor}")));
}

/// The answer that it got.
fn expectation(text: &mut String, decision: &BootDecision, step: &Step, noted: Option<&Record>) {
    match step.outcome {
        Outcome::Given => match &decision.images {
            Some(images) => images_of(text, images),
            None => {
                line(text, "expect", decision.verdict.name());
                if let Verdict::Deny { reason } | Verdict::Ignore { reason } = &decision.verdict {
                    line(text, "reason", reason.as_str());
                }
            }
        },
        Outcome::Failed => {
            line(text, "expect", "error");
            line(text, "error", error_part(&step.detail));
        }
        Outcome::Passed | Outcome::TimedOut | Outcome::Policy => {
            let to: Vec<String> = NOTED.iter().filter_map(|column| noted?.text(column)).collect();
            match to.is_empty() {
                true => line(text, "expect", "pass"),
                false => line(text, "expect", format!("refer {}", to.join(" "))),
            }
        }
    }
}

fn images_of(text: &mut String, images: &BootImages) {
    let ids =
        |images: &BootImages| images.images().iter().map(|image| Toml::from(image.id.as_str())).collect::<Vec<_>>();
    let kind = match (images.images(), images.menu()) {
        ([], None) => "local",
        ([image], None) if matches!(image.kind, ImageKind::Local { .. }) => "local",
        ([_], None) => "image",
        _ => "menu",
    };
    line(text, "expect", kind);
    line(text, "images", ids(images));
    if let Some(menu) = images.menu() {
        line(text, "title", menu.title.as_str());
        line(text, "default", menu.default.as_deref().unwrap_or_default());
        line(text, "timeout", menu.timeout.map_or(0, |timeout| i64::try_from(timeout.as_secs()).unwrap_or(0)));
    }
    if let [image] = images.images() {
        line(text, "kind", image.kind.name());
        if let ImageKind::Linux { cmdline, .. } | ImageKind::Efi { cmdline, .. } = &image.kind {
            line(text, "cmdline", cmdline.as_str());
        }
    }
    let sources = images.images().iter().flat_map(super::expect::sources).map(Toml::from).collect::<Vec<_>>();
    if !sources.is_empty() {
        line(text, "sources", sources);
    }
}

/// The part of an error that stays when lines move: neither its place nor the machine.
fn error_part(detail: &str) -> String {
    let message = detail.split_once(": ").map_or(detail, |(_, message)| message);
    let message = message.split("; ").next().unwrap_or(message);
    message.rsplit_once(" (machine ").map_or(message, |(message, _)| message).to_owned()
}

/// What the machine reported, what was known of it, and what was answered to the script: tables, behind all keys.
fn tables(
    text: &mut String,
    request: &BootRequest,
    record: Option<(&Record, bool)>,
    account: &Account,
    left_out: &mut Vec<String>,
) -> Result<(), RecordError> {
    let machine: toml::Table =
        request.machine.iter().map(|(name, value)| (name.to_owned(), Toml::from(value.as_str()))).collect();
    if !machine.is_empty() {
        line(text, "facts", machine);
    }
    if let Some((record, noted)) = record {
        let is_left = |name: &str| !noted || !NOTED.contains(&name);
        let columns: toml::Table = record
            .iter()
            .filter(|(name, _)| is_left(name))
            .map(|(name, value)| (name.to_owned(), column(value)))
            .collect();
        line(text, "record", columns);
    }
    if *request.identity != Identity::default()
        && let Ok(identity) = Toml::try_from(&*request.identity)
    {
        line(text, "identity", identity);
    }
    if let Some(person) = &request.person {
        let groups = person.groups.iter().map(|group| Toml::from(group.as_str())).collect::<Vec<_>>();
        let mut table = toml::Table::new();
        table.insert("name".to_owned(), Toml::from(person.name.as_str()));
        table.insert("method".to_owned(), Toml::from(person.method.name()));
        table.insert("groups".to_owned(), Toml::from(groups));
        line(text, "person", table);
    }
    let [mut queries, mut http, mut notes] = [toml::Table::new(), toml::Table::new(), toml::Table::new()];
    for reading in &account.readings {
        let source = reading.source.as_str();
        let answer = match &reading.found {
            Found::NotKept => return Err(RecordError::NotKept(source.to_owned())),
            Found::Failed(why) => Toml::from(why.as_str()),
            Found::Answer(answer) => toml_of(answer),
        };
        let (table, name) = match source.split_once(' ') {
            Some(("query", name)) => (&mut queries, name),
            Some(("http", name)) => (&mut http, name),
            Some(("note", name)) if matches!(reading.found, Found::Answer(_)) => (&mut notes, name),
            _ => {
                left_out.push(format!("what {source} answered"));
                continue;
            }
        };
        match table.get(name) {
            Some(other) if *other != answer => {
                left_out.push(format!("that {name} was asked several times, with other answers"));
            }
            Some(_) => {}
            // A note that is not there is none in a case either.
            None if reading.found == Found::Answer(Json::Null) => {}
            None => drop(table.insert(name.to_owned(), answer)),
        }
    }
    for (key, table) in [("queries", queries), ("http", http), ("notes", notes)] {
        if !table.is_empty() {
            line(text, key, table);
        }
    }
    left_out.sort();
    left_out.dedup();
    Ok(())
}

fn column(value: &Value) -> Toml {
    match value {
        Value::Null => Toml::Table(toml::Table::new()),
        Value::Bool(truth) => Toml::from(*truth),
        Value::Integer(number) => Toml::from(*number),
        Value::Float(number) => Toml::from(*number),
        Value::Text(text) => Toml::from(text.as_str()),
    }
}

/// Rows as cases write them: TOML has no null, and an empty table is one.
fn toml_of(json: &Json) -> Toml {
    match json {
        Json::Null => Toml::Table(toml::Table::new()),
        Json::Bool(truth) => Toml::from(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Toml::from(number),
            None => Toml::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Toml::from(text.as_str()),
        Json::Array(items) => Toml::Array(items.iter().map(toml_of).collect()),
        Json::Object(fields) => {
            Toml::Table(fields.iter().map(|(name, value)| (name.clone(), toml_of(value))).collect())
        }
    }
}
