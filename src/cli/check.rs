//! `pointsman check`: every problem of a site, before a machine finds it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::output::{Mark, mark, say, say_json};
use crate::boot::{Architecture, Client, Machine, Network, Outcome, Stage};
use crate::config::{Config, HandlerSection, Problems};
use crate::doctor::{WRITABLE, may_write};
use crate::site::{Absent, Purpose, Site};

/// Find every problem of the site: configuration, scripts and their cases, loaders, images, certificate
///
/// Nothing is started and no port is opened. All problems are told at once, each with its place and a remedy.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pointsman check --config /etc/pointsman/pointsman.toml && systemctl reload pointsman

Exit code: 0 when the site can serve, 1 when something must be put right. Notes do not count.")]
pub(super) struct Check {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// One finding.
#[derive(Serialize)]
struct Finding {
    #[serde(serialize_with = "severity")]
    severity: Mark,
    text: String,
}

fn severity<S: serde::Serializer>(mark: &Mark, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match mark {
        Mark::Good => "ok",
        Mark::Note => "note",
        Mark::Bad => "problem",
    })
}

/// What was found, in the order it was looked for.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, text: impl Into<String>) {
        self.0.push(Finding { severity: Mark::Good, text: text.into() });
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.0.push(Finding { severity: Mark::Note, text: text.into() });
    }

    pub(super) fn bad(&mut self, text: impl Into<String>) {
        self.0.push(Finding { severity: Mark::Bad, text: text.into() });
    }

    /// Whether this was told before: in these words, or of the same upstream in others.
    fn tells(&self, detail: &str) -> bool {
        let upstream = detail.strip_prefix("upstream `").and_then(|rest| rest.split_once("` "));
        let upstream = upstream.map(|(name, _)| format!("upstream `{name}` "));
        self.0.iter().any(|finding| {
            let is_same = |upstream| finding.severity == Mark::Bad && finding.text.starts_with(upstream);
            finding.text.contains(detail) || upstream.as_deref().is_some_and(is_same)
        })
    }

    /// Everything that was found.
    pub(super) fn each(&self) -> impl Iterator<Item = (Mark, &str)> {
        self.0.iter().map(|finding| (finding.severity, finding.text.as_str()))
    }

    fn problems(&mut self, problems: &Problems) {
        problems.iter().for_each(|problem| self.bad(problem.to_string()));
    }
}

pub(super) fn run(command: &Check, file: &Path) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    look(file, &mut findings)?;
    let is_good = !findings.0.iter().any(|finding| finding.severity == Mark::Bad);
    if command.json {
        say_json(&findings.0)?;
    } else {
        for finding in &findings.0 {
            say(&format!("{}  {}", mark(finding.severity), finding.text.replace('\n', "\n         ")));
        }
        let count = findings.0.iter().filter(|finding| finding.severity == Mark::Bad).count();
        say(&if is_good { "The site can serve.".to_owned() } else { format!("{count} to put right.") });
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds everything.
pub(super) fn look(file: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    match Config::read(file) {
        Ok(config) => check_site(config, findings)?,
        Err(problems) => findings.problems(&problems),
    }
    Ok(())
}

fn check_site(config: Config, findings: &mut Findings) -> anyhow::Result<()> {
    findings.good(format!("configuration {}", config.file.display()));
    // The certificate does not depend on the scripts: its problems are told with theirs.
    certificate(&config, findings);
    if let Err(error) = crate::daemon::addresses(&config) {
        findings.bad(format!("{error:#}"));
    }
    if let Err(why) = may_write(&config.server.state) {
        findings.bad(format!("server.state: {}: {why}\n  help: {WRITABLE}", config.server.state.display()));
    }
    match Site::load(config, Purpose::Check) {
        Ok(site) => {
            handlers(&site, findings);
            quirks(&site, findings);
            loaders(&site, findings);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(super::check_store::databases(&site, findings));
            runtime.block_on(super::check_upstream::upstreams(&site, findings));
            runtime.block_on(super::check_upstream::storages(&site, findings));
            runtime.block_on(images(&site, findings));
            runtime.block_on(made_up_machine(&site, findings));
        }
        Err(problems) => findings.problems(&problems),
    }
    Ok(())
}

fn handlers(site: &Site, findings: &mut Findings) {
    for (section, built) in site.config.handlers.iter().zip(&site.handlers) {
        let name = section.display_name();
        let HandlerSection::Script(section) = section else { continue };
        built.cases.failures.iter().chain(&built.cases.unused).for_each(|failure| findings.bad(failure));
        built.cases.warnings.iter().for_each(|warning| findings.note(warning));
        match (built.cases.passed, built.cases.failures.len()) {
            (0, 0) => findings.note(format!(
                "handler `{name}`: compiles, but has no cases; write some beside the scripts, as {} has them",
                section.allow_boot.with_extension("cases.toml").display()
            )),
            (passed, 0) => findings.good(format!("handler `{name}`: compiles, {passed} cases pass")),
            (passed, failed) => findings.note(format!("handler `{name}`: {passed} cases pass, {failed} fail")),
        }
        if let Some(candidate) = &built.candidate {
            match candidate.in_words(name) {
                Ok(words) => findings.good(words),
                // It answers nobody, so the site can serve.
                Err(words) => findings.note(words),
            }
        }
    }
}

fn quirks(site: &Site, findings: &mut Findings) {
    site.config.doubts_of_quirks().iter().for_each(|doubt| findings.note(doubt));
    for quirk in site.config.quirks.own() {
        let missing = quirk.manner.loader.as_ref().filter(|name| site.loaders.named(name).is_none());
        if let Some(name) = missing {
            findings.note(format!(
                "[[quirk]] `{}`: the loader {name} is in none of [loaders] folders and names; the architecture's stands in",
                quirk.name
            ));
        }
    }
}

fn loaders(site: &Site, findings: &mut Findings) {
    for (architecture, loader) in site.loaders.iter() {
        let version = loader.version.as_deref().unwrap_or("version not told by the file");
        let https = match loader.https {
            Some(true) => ", HTTPS",
            Some(false) => ", no HTTPS",
            None => "",
        };
        findings.good(format!("loader for {architecture}: {} (iPXE {version}{https})", loader.path.display()));
    }
    if site.loaders.iter().next().is_none() {
        findings.bad(
            "no boot loader at all: machines whose NIC has no iPXE get no answer\n  \
             help: apt-get install ipxe, or put iPXE builds into the loaders folder",
        );
    }
    for missing in site.loaders.missing() {
        findings.note(match missing.architecture {
            Some(architecture) => {
                format!("no loader for {architecture}: {} {}; such machines get no answer", missing.name, missing.why)
            }
            None => format!("[loaders.names] `{}`: {}", missing.name, missing.why),
        });
    }
}

/// Asks both questions for a machine that nobody has: many mistakes show only when a rule runs.
async fn made_up_machine(site: &Site, findings: &mut Findings) {
    let Ok(engine) = site.private_engine() else { return };
    let now = jiff::Timestamp::now();
    let client = Client::new([0x02, 0, 0, 0, 0, 0x01].into(), Architecture::X64_UEFI);
    let session = Arc::new(engine.sessions().begin(client, 0, now));
    let network = Network { server: Some([127, 0, 0, 1].into()), ..Network::default() };
    let allow = engine.allow_boot(&session, Stage::Discover, network.clone(), now).await;
    let images = engine.boot_images(&session, network, Machine::default(), now).await;
    let steps = allow.trail.iter().chain(&images.trail);
    let mut failures: Vec<_> = steps.filter(|step| step.outcome == Outcome::Failed).map(|step| &step.detail).collect();
    failures.dedup();
    // A database or an upstream that is down, or a query that is refused, was told of before.
    failures.retain(|detail| !findings.tells(detail));
    failures.into_iter().for_each(|detail| findings.bad(format!("asked for a made-up machine: {detail}")));
}

/// Every file of every image that the cases boot.
async fn images(site: &Site, findings: &mut Findings) {
    let folder = site.config.images.folder.display();
    let images = || site.handlers.iter().flat_map(|built| &built.cases.images);
    let count: usize = images().map(|images| images.images().len()).sum();
    let absent = site.absent_files(images()).await;
    for file in &absent.missing {
        let place = if file.starts_with('@') { "there".to_owned() } else { format!("into {folder}") };
        findings.bad(format!("image file {file}\n  help: put it {place}, or take the image out of the rules"));
    }
    for file in &absent.unsure {
        findings.note(format!("image file {file}; whether it is there shows when its origin answers"));
    }
    if absent == Absent::default() && count > 0 {
        let is_elsewhere = site.images.origins().next().is_some();
        let place = if is_elsewhere { " or at its origin" } else { "" };
        findings.good(format!("images: every file of the {count} images that cases boot is in {folder}{place}"));
    }
}

fn certificate(config: &Config, findings: &mut Findings) {
    if !config.https.enabled {
        return findings.note("HTTPS is off");
    }
    let own = config.https.certificate.is_none();
    if own && !config.server.state.join("ca.pem").exists() {
        return findings
            .note(format!("the private CA will be made in {} at the first start", config.server.state.display()));
    }
    match crate::daemon::certificate(config, jiff::Timestamp::now()) {
        Ok(certificate) => match certificate.fingerprint {
            Some(fingerprint) => findings.good(format!("HTTPS by the private CA, SHA-256 {fingerprint}")),
            None => findings.good("HTTPS by the site's own certificate"),
        },
        Err(error) => findings.bad(format!("HTTPS: {error:#}")),
    }
}
