//! Runs iPXE scripts as iPXE does: splits lines into words, expands settings, follows labels, loads what is named.
//!
//! Only the commands of boot scripts are there. A person at the machine is simulated too: one who waits, or who picks
//! the menu item that the caller names.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::boot::FACTS;

use super::http::Http;
use super::person::{self, Form, Item};
use super::words::{absolute, encode, label_of, logical_lines, options, without_token};
use super::{Ending, LoadedFile, Machine, Report, StepError};

/// A script that runs longer than this is endless.
const COMMANDS_MAX: usize = 2_000;
/// Commands that a script counts on; others are tried (`params`) or time out (`prompt`).
const FAILING: [&str; 7] = ["kernel", "initrd", "imgfetch", "chain", "boot", "sanboot", "choose"];
/// What stands between two commands of a line.
const JOINTS: [&str; 3] = ["||", "&&", ";"];
/// The setting that has the boot URL of the offer.
const OFFERED: &str = "proxydhcp/filename";
/// Scripts that chain scripts; deeper is a loop.
const DEPTH_MAX: usize = 12;
/// Scripts that take each other's place; one that waits for somebody comes again and again.
const SCRIPTS_MAX: usize = 500;
/// The longest sleep that is slept.
const SLEEP_MAX: Duration = Duration::from_secs(2);

pub(super) struct Ipxe<'a> {
    http: &'a Http,
    pub(super) machine: &'a Machine,
    pub(super) report: &'a mut Report,
    pub(super) settings: BTreeMap<String, String>,
    params: Option<Vec<(String, String)>>,
    pub(super) menu: Vec<Item>,
    pub(super) form: Option<Form>,
    commands: usize,
    command_line: String,
    script_url: String,
}

/// What a command leads to.
enum Flow {
    Next,
    Goto(String),
    Replace { text: String, url: String },
    End(Ending),
}

type Step = Result<Flow, StepError>;

impl<'a> Ipxe<'a> {
    pub(super) fn new(http: &'a Http, machine: &'a Machine, report: &'a mut Report, offered: &str) -> Ipxe<'a> {
        let mut settings: BTreeMap<String, String> =
            FACTS.iter().map(|fact| (fact.setting.to_owned(), machine.fact(fact.name).to_owned())).collect();
        settings.insert("net0/mac".into(), machine.mac.to_string());
        settings.insert(OFFERED.into(), offered.to_owned());
        Ipxe {
            http,
            machine,
            report,
            settings,
            params: None,
            menu: Vec::new(),
            form: None,
            commands: 0,
            command_line: String::new(),
            script_url: String::new(),
        }
    }

    /// Loads a URL and runs it, script after script, until something boots or the script ends.
    pub(super) async fn chain(&mut self, url: &str) -> Result<Ending, StepError> {
        let mut current = self.fetch("script", url).await?;
        let mut url = url.to_owned();
        for _ in 0..SCRIPTS_MAX {
            let Some(text) = script_of(&current) else { return Ok(Ending::Chained) };
            self.script_url.clone_from(&url);
            match self.run(&text, &url, 0).await? {
                Flow::Replace { text, url: next } => {
                    current = LoadedText { text: Some(text) };
                    url = next;
                }
                Flow::End(ending) => return Ok(ending),
                Flow::Next | Flow::Goto(_) => return Ok(Ending::Exit(0)),
            }
        }
        Err(StepError::new("scripts chain scripts without end"))
    }

    /// The command line of the kernel that was loaded last.
    pub(super) fn command_line(&self) -> &str {
        &self.command_line
    }

    /// Where the script came from that ran last.
    pub(super) fn script_url(&self) -> &str {
        &self.script_url
    }

    async fn run(&mut self, text: &str, base: &str, depth: usize) -> Step {
        let lines = logical_lines(text);
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            at += 1;
            match self.line(line, base, depth).await? {
                Flow::Next => {}
                Flow::Goto(label) => {
                    let found = lines.iter().position(|line| label_of(line) == Some(&label));
                    at = found.ok_or_else(|| StepError::new(format!("the script has no label `{label}`")))?;
                }
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    /// Runs the commands of a line: one after `||` only when the last one run failed, one after `&&` only when it
    /// succeeded. An empty command succeeds.
    async fn line(&mut self, line: &str, base: &str, depth: usize) -> Step {
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        let words: Vec<&str> = words.skip_while(|word| word.starts_with(':')).collect();
        let mut last: Step = Ok(Flow::Next);
        let mut joint = ";";
        for part in words.split_inclusive(|word| JOINTS.contains(word)).chain(std::iter::once(&[][..])) {
            let (command, next) = match part.split_last() {
                Some((word, command)) if JOINTS.contains(word) => (command, *word),
                _ => (part, ";"),
            };
            let is_skipped = (joint == "||" && last.is_ok()) || (joint == "&&" && last.is_err());
            // The empty part at the end stands for the command after a last `||`, not for one of its own.
            if !is_skipped && (joint != ";" || !command.is_empty()) {
                let arguments: Vec<String> = command.iter().map(|word| self.expand(word)).collect();
                last = self.command(&arguments, base, depth).await;
                match &last {
                    Ok(Flow::Next) => {}
                    Ok(_) => return last,
                    Err(error) => {
                        self.settings.insert("errno".into(), "2d0c6139".into());
                        let what = format!("{}: {error}", command.first().copied().unwrap_or_default());
                        self.report.note(&what);
                        if command.first().is_some_and(|name| FAILING.contains(name)) {
                            self.report.failures.push(what);
                        }
                    }
                }
            }
            joint = next;
        }
        last
    }

    async fn command(&mut self, arguments: &[String], base: &str, depth: usize) -> Step {
        self.commands += 1;
        if self.commands > COMMANDS_MAX {
            return Ok(Flow::End(Ending::Endless));
        }
        let Some((name, rest)) = arguments.split_first() else { return Ok(Flow::Next) };
        let (options, operands) = options(name, rest);
        let operand = |index: usize| operands.get(index).map(String::as_str).unwrap_or_default();
        let all = operands.join(" ");
        match name.as_str() {
            "echo" => self.report.screen(&all),
            "set" => {
                let key = operand(0).split(':').next().unwrap_or_default().to_owned();
                self.settings.insert(key, operands.get(1..).unwrap_or_default().join(" "));
            }
            "clear" => {
                let key = operand(0).split(':').next().unwrap_or_default();
                self.settings.remove(key);
            }
            "inc" => {
                let key = operand(0).split(':').next().unwrap_or_default().to_owned();
                let value = self.settings.get(&key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
                self.settings.insert(key, (value + 1).to_string());
            }
            "iseq" if operand(0) != operand(1) => return Err(StepError::new("not equal")),
            "isset" if all.is_empty() => return Err(StepError::new("not set")),
            "goto" => return Ok(Flow::Goto(operand(0).to_owned())),
            "params" if !self.machine.params => return Err(StepError::new("command not found")),
            "params" => self.params = Some(Vec::new()),
            "param" => {
                let value = operands.get(1..).unwrap_or_default().join(" ");
                self.params.get_or_insert_default().push((operand(0).to_owned(), value));
            }
            "menu" => {
                self.form = None;
                self.menu.clear();
                self.report.screen(&format!("menu: {all}"));
            }
            // As `params`, it is a thing of newer builds.
            "form" if !self.machine.params => return Err(StepError::new("command not found")),
            "form" => self.form = Some(Form::new(all)),
            "item" => self.item(&options, &operands),
            "present" => self.present()?,
            "login" => self.login()?,
            "choose" => return self.choose(&options, operand(0)),
            "prompt" => {
                self.report.screen(&all);
                if person::presses(self.machine, options.get("key")) {
                    self.report.note("a person presses the key");
                    return Ok(Flow::Next);
                }
                return Err(StepError::new("no key was pressed"));
            }
            "kernel" | "initrd" | "imgfetch" | "imgselect" => {
                self.load(name, operand(0), base).await?;
                if name == "kernel" {
                    self.command_line = operands.get(1..).unwrap_or_default().join(" ");
                }
            }
            "sleep" => {
                let time = operand(0).parse().map_or(Duration::ZERO, Duration::from_secs);
                tokio::time::sleep(time.min(SLEEP_MAX)).await;
            }
            "imgfree" => self.report.files.clear(),
            "boot" if operands.is_empty() => return self.boot(),
            "chain" | "boot" | "imgexec" => return self.chain_command(&options, operand(0), base, depth).await,
            "sanboot" if all.is_empty() => return Ok(Flow::End(Ending::LocalDisk)),
            "sanboot" => {
                self.report.note(&format!("SAN disk {all}"));
                return Ok(Flow::End(Ending::Sanboot(all)));
            }
            "exit" => return Ok(Flow::End(Ending::Exit(operand(0).parse().unwrap_or(0)))),
            "reboot" => return Ok(Flow::End(Ending::Reboot)),
            "poweroff" => return Ok(Flow::End(Ending::Poweroff)),
            "shell" => return Ok(Flow::End(Ending::Shell)),
            "iseq" | "isset" | "dhcp" | "ifopen" | "ifclose" | "imgargs" | "console" | "cpuid" => {}
            _ => return Err(StepError::new("command not found")),
        }
        Ok(Flow::Next)
    }

    fn choose(&mut self, options: &BTreeMap<String, String>, setting: &str) -> Step {
        let default = options.get("default").or_else(|| options.get("d"));
        if let Some(Item { id, title, .. }) = person::by_key(self.machine, &self.menu).cloned() {
            self.report.note(&format!("menu: a person presses a key: {id} ({title})"));
            self.settings.insert(setting.to_owned(), id);
            return Ok(Flow::Next);
        }
        let pick = self.machine.pick.as_ref().or(default);
        // Nobody picks a line that shows nothing.
        let mut shown = self.menu.iter().filter(|item| !item.title.is_empty());
        let chosen = match pick {
            Some(pick) => shown.find(|item| item.id == *pick),
            None => shown.next(),
        };
        let Item { id, title, .. } = chosen.cloned().ok_or_else(|| {
            StepError::new(format!("the menu has no item `{}`", pick.map(String::as_str).unwrap_or_default()))
        })?;
        let timeout = options.get("timeout").or_else(|| options.get("t")).and_then(|ms| ms.parse().ok());
        let how = match (&self.machine.pick, timeout.map(Duration::from_millis)) {
            (Some(_), _) => "a person picks".into(),
            (None, Some(timeout)) if !timeout.is_zero() => format!("after {} s", timeout.as_secs()),
            _ => "a person picks the item under the cursor".into(),
        };
        self.report.note(&format!("menu: {how}: {id} ({title})"));
        self.settings.insert(setting.to_owned(), id);
        Ok(Flow::Next)
    }

    async fn load(&mut self, name: &str, target: &str, base: &str) -> Result<(), StepError> {
        let loaded = self.fetch(name, &absolute(base, target)).await?;
        drop(loaded);
        Ok(())
    }

    fn boot(&mut self) -> Step {
        if self.report.files.is_empty() {
            return Err(StepError::new("nothing is loaded"));
        }
        Ok(Flow::End(Ending::Booted))
    }

    async fn chain_command(
        &mut self,
        options: &BTreeMap<String, String>,
        target: &str,
        base: &str,
        depth: usize,
    ) -> Step {
        let url = absolute(base, target.trim_end_matches("##params"));
        let loaded = match target.ends_with("##params") {
            true => self.post(&url).await?,
            false => self.fetch("script", &url).await?,
        };
        let Some(text) = script_of(&loaded) else { return Ok(Flow::End(Ending::Chained)) };
        if options.contains_key("replace") || options.contains_key("r") {
            return Ok(Flow::Replace { text, url });
        }
        if depth >= DEPTH_MAX {
            return Err(StepError::new("scripts chain scripts without end"));
        }
        match Box::pin(self.run(&text, &url, depth + 1)).await? {
            // It ends that script only, and is its status.
            Flow::End(Ending::Exit(0)) => Ok(Flow::Next),
            Flow::End(Ending::Exit(status)) => Err(StepError::new(format!("the script exits with {status}"))),
            flow => Ok(flow),
        }
    }

    async fn fetch(&mut self, what: &str, url: &str) -> Result<LoadedText, StepError> {
        let loaded = self.http.load(url, None).await?;
        self.loaded(what, url, loaded.len, loaded.text)
    }

    async fn post(&mut self, url: &str) -> Result<LoadedText, StepError> {
        let fields = self.params.take().unwrap_or_default();
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let loaded = self.http.load(url, Some(form.join("&"))).await?;
        self.loaded("script, facts posted", url, loaded.len, loaded.text)
    }

    fn loaded(&mut self, what: &str, url: &str, len: u64, text: Option<String>) -> Result<LoadedText, StepError> {
        let name = without_token(url);
        let loaded = LoadedText { text };
        self.report.note(&format!("{what}: {name} ({len} octets)"));
        match script_of(&loaded) {
            // One without a command only says yes.
            Some(text) if text.lines().count() == 1 => {}
            Some(text) => self.report.script = text,
            None => self.report.files.push(LoadedFile { name, len }),
        }
        Ok(loaded)
    }

    /// Replaces settings until none is left; one without a value is empty.
    fn expand(&self, word: &str) -> String {
        let mut text = word.to_owned();
        for _ in 0..256 {
            let Some(end) = text.find("${").and_then(|start| Some(start + text.get(start..)?.find('}')?)) else {
                break;
            };
            let Some(start) = text.get(..end).and_then(|head| head.rfind("${")) else { break };
            let name = text.get(start + 2..end).unwrap_or_default();
            let (name, kind) = name.split_once(':').unwrap_or((name, ""));
            // Without the name of a block a setting is looked for in all of them.
            let name = if name == "filename" { OFFERED } else { name };
            let value = self.settings.get(name).map(String::as_str).unwrap_or_default();
            let value = match kind {
                "uristring" => encode(value),
                // Its digits are what is kept here.
                "hexraw" if name != "errno" => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
                _ => value.to_owned(),
            };
            text.replace_range(start..=end, &value);
        }
        text
    }
}

struct LoadedText {
    text: Option<String>,
}

fn script_of(loaded: &LoadedText) -> Option<String> {
    loaded.text.as_ref().filter(|text| text.starts_with("#!ipxe")).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn screen_of(script: &str) -> (Vec<String>, Result<(), String>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let machine = Machine {
            mac: [2, 0, 0, 0, 0, 1].into(),
            uuid: uuid::Uuid::nil(),
            architecture: crate::boot::Architecture::X64_UEFI,
            facts: vec![("serial".into(), "A 1".into())],
            ipxe_rom: false,
            params: false,
            https: false,
            pick: None,
            keys: Vec::new(),
            typed: super::super::Typed::default(),
            installer: super::super::Installer::Silent,
        };
        let watcher = || std::sync::Arc::new(super::super::Unwatched);
        let (http, mut report) = (Http::new(None, watcher()).unwrap(), Report::new(watcher()));
        let mut ipxe = Ipxe::new(&http, &machine, &mut report, "http://h/boot.ipxe");
        let result = ipxe.run(script, "http://h/", 0).await.map(drop).map_err(|error| error.to_string());
        (report.screen, result)
    }

    #[tokio::test]
    async fn commands_are_joined_as_ipxe_joins_them() {
        let (screen, result) = screen_of(
            "#!ipxe\nparams || echo one\nparams && echo no ||\nisset ${serial} && echo two || echo no\n\
             echo ${};x ; echo ${}# # no\ngoto end\necho no\n:end\necho ${serial} ${none}${serial:uristring}\nparams\necho no",
        )
        .await;
        assert_eq!(screen, ["one", "two", ";x", "#", "A 1 A%201"]);
        assert_eq!(result, Err("command not found".into()));
    }
}
