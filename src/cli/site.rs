//! `pointsman site`: the site servers that may ask this one, and how this one becomes one.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::local;
use crate::config::Config;
use crate::net::interfaces::Interfaces;
use crate::observe::{LogTarget, start_logging};
use crate::store::{Name, SiteEntry, SiteToken};
use crate::tls::ensure_ca;
use crate::upstream::{Enroll as Wanted, EnrollToken, Enrollee, enroll};

/// Let site servers ask this one, or enroll this one with its upstream
#[derive(Debug, Args)]
#[command(after_help = "At the upstream:
  pointsman site add lyon             print the command that is run at the site, once
  pointsman site list
  pointsman site revoke lyon          lyon is refused within two seconds

At the site, as `site add` printed it:
  pointsman site enroll main https://boot.example.com:4443 --token pm1.SECRET.FINGERPRINT")]
pub(super) struct Site {
    #[command(subcommand)]
    command: SiteCommand,
}

#[derive(Debug, Subcommand)]
enum SiteCommand {
    /// Let a site server ask this one: prints the command to run there
    ///
    /// Of a site that is there already this makes a new token; its present certificate is good until the new one is
    /// issued. A site that was revoked begins anew.
    Add {
        /// Its name, as rules here see it in request.site
        name: Name,
        /// A token that is sent with every question instead of a certificate, for programs that have none; shown once
        #[arg(long)]
        bearer: bool,
    },
    /// List the sites, and when each was last heard of
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a site from now on, whatever it shows
    Revoke {
        /// Its name
        name: Name,
    },
    /// Remove a site: it is not known any more
    Remove {
        /// Its name
        name: Name,
    },
    Enroll(Enroll),
}

/// Get this server's certificate from an upstream, with the token that `site add` printed there
#[derive(Debug, Args)]
#[command(after_help = "Example, as `pointsman site add` at the upstream printed it:
  pointsman site enroll main https://boot.example.com:4443 --token pm1.SECRET.FINGERPRINT

The token names the CA of the upstream, so that no other server can take its place, and is good once. The key is made
here and stays here: ca.pem, site.pem and site.key are put into the folder upstream/UPSTREAM of the state folder.")]
struct Enroll {
    /// What this server calls the upstream: [upstream.NAME] of its configuration
    #[arg(value_parser = upstream_name)]
    upstream: String,
    /// Where the upstream's decision API is
    url: String,
    /// The token
    #[arg(long)]
    token: EnrollToken,
    /// Replace the certificate of an earlier enrollment
    #[arg(long)]
    force: bool,
}

/// How long an upstream may take to answer.
const ENROLL_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(command: &Site, file: &Path) -> anyhow::Result<ExitCode> {
    match &command.command {
        SiteCommand::Add { name, bearer: false } => at_desk(file, async |desk| add(&desk, name).await),
        SiteCommand::Add { name, bearer: true } => at_desk(file, async |desk| add_bearer(&desk, name).await),
        SiteCommand::List { json } => at_desk(file, async |desk| list(&desk, *json).await),
        SiteCommand::Revoke { name } => at_desk(file, async |desk| {
            let was_in = desk.store.revoke_site(name, desk.now).await?;
            say(&format!("{name} {}", if was_in { "is revoked" } else { "was revoked before" }));
            Ok(())
        }),
        SiteCommand::Remove { name } => at_desk(file, async |desk| {
            desk.store.remove_site(name).await?;
            say(&format!("removed the site {name}"));
            Ok(())
        }),
        SiteCommand::Enroll(command) => enroll_here(command, file),
    }
}

async fn add(desk: &Desk, name: &Name) -> anyhow::Result<()> {
    let authority = ensure_ca(&desk.config.server.state).context("server.state")?;
    let token = EnrollToken::new(authority.digest()).context("cannot make a token")?;
    let lifetime = desk.config.api.enrollment;
    let until = desk.now.checked_add(SignedDuration::try_from(lifetime)?)?;
    let known = desk.store.site(name).await?;
    desk.store.add_site(name, SiteToken::Enrollment(token.as_str(), until), desk.now).await?;
    say(&format!("{} the site {name}; run this there, before {}:", added(known.as_ref()), local(until)));
    say("");
    say(&format!("  pointsman site enroll main {} --token {}", address(&desk.config), token.as_str()));
    say("");
    say("The token is good once. `main` is what that server calls this one.");
    if known.is_some_and(|site| site.revoked.is_none() && site.enrolled.is_some()) {
        say("The certificate that it has is good until the new one is issued.");
    }
    desk.warn_without_api();
    Ok(())
}

async fn add_bearer(desk: &Desk, name: &Name) -> anyhow::Result<()> {
    let authority = ensure_ca(&desk.config.server.state).context("server.state")?;
    let token = EnrollToken::bearer().context("cannot make a token")?;
    let known = desk.store.site(name).await?;
    desk.store.add_site(name, SiteToken::Bearer(&token), desk.now).await?;
    let ca = desk.config.server.state.join("ca.pem");
    say(&format!("{} the site {name}; its token, which is shown this once:", added(known.as_ref())));
    say("");
    say(&format!("  {token}"));
    say("");
    say(&format!("It is sent as `Authorization: Bearer TOKEN` to {}/api/v1/;", address(&desk.config)));
    say(&format!("the CA to trust is {} (SHA-256 {}).", ca.display(), authority.fingerprint()));
    desk.warn_without_api();
    Ok(())
}

fn added(known: Option<&SiteEntry>) -> &'static str {
    match known {
        None => "added",
        Some(site) if site.revoked.is_some() => "let in again",
        Some(_) => "made a new token for",
    }
}

/// Where sites reach the API, as far as the configuration or this host tells.
fn address(config: &Config) -> String {
    let host = config.https.certificate_names(&config.server).into_iter().next().or_else(|| {
        let address = config.server.address.or_else(first_address)?;
        Some(if address.is_ipv6() { format!("[{address}]") } else { address.to_string() })
    });
    format!("https://{}:{}", host.as_deref().unwrap_or("HOST"), config.api.port)
}

fn first_address() -> Option<IpAddr> {
    let interfaces = Interfaces::read().ok()?;
    let mut all = interfaces.list.iter().flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr));
    all.find(|address| address.is_ipv4() && !address.is_loopback())
}

impl Desk {
    /// Says so when no site can reach this server.
    fn warn_without_api(&self) {
        if !self.config.api.enabled {
            let file = self.config.file.display();
            complain(&format!(
                "note: no site can ask yet; write `enabled = true` below [api] in {file}, and restart the server"
            ));
        }
    }
}

async fn list(desk: &Desk, json: bool) -> anyhow::Result<()> {
    let mut found: Vec<SiteEntry> = Vec::new();
    loop {
        let page = desk.store.sites(found.last().map(|site| &site.name)).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    if json {
        return say_json(&found);
    }
    let mut table = Table::new(&["name", "shows", "enrolled", "last seen", "revoked"]);
    for site in &found {
        let moment = |at: Option<_>| at.map(local).unwrap_or_default();
        let pending = site.token_until.map(|until| match until > desk.now {
            true => format!("token until {}", local(until)),
            false => "token, too old".into(),
        });
        let shown = [
            site.fingerprint.as_ref().map(|_| "certificate".to_owned()),
            site.has_bearer.then(|| "bearer token".to_owned()),
            pending.filter(|_| site.revoked.is_none()),
        ];
        let shown = shown.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let [enrolled, seen, revoked] = [site.enrolled, site.last_seen, site.revoked].map(moment);
        table.row([site.name.to_string(), shown, enrolled, seen, revoked]);
    }
    table.print("No sites. `pointsman site add NAME` adds one.");
    Ok(())
}

fn enroll_here(command: &Enroll, file: &Path) -> anyhow::Result<ExitCode> {
    let mut config = super::read_config(file)?;
    // What goes wrong is the command's answer already.
    config.log.level = "off".into();
    start_logging(&config.log, LogTarget::Stderr);
    let wanted = Wanted {
        upstream: command.upstream.clone(),
        url: command.url.clone(),
        token: command.token.clone(),
        state: config.server.state.clone(),
        force: command.force,
        limit: ENROLL_LIMIT,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(enroll(&wanted))?;
    tell(&done, command, &config);
    Ok(ExitCode::SUCCESS)
}

fn tell(done: &Enrollee, command: &Enroll, config: &Config) {
    let (name, file) = (&command.upstream, config.file.display());
    say(&format!(
        "this server is the site `{}` of that upstream; its certificate is in {}",
        done.site,
        done.folder.display()
    ));
    if let Some(doubt) = &done.doubt {
        complain(&format!("note: the certificate was tried, but: {doubt}"));
    }
    if config.upstreams.contains_key(name) {
        say(&format!("[upstream.{name}] is in {file} already; reload the server: systemctl reload pointsman"));
        return;
    }
    say(&format!("Add this to {file}, behind the handlers that come first, and reload the server:"));
    say("");
    say(&format!("[upstream.{name}]"));
    say(&format!("url = \"{}\"", command.url.trim()));
    say("");
    say("[[handler]]");
    say("kind = \"referral\"");
    say(&format!("upstreams = [\"{name}\"]"));
}

fn upstream_name(text: &str) -> Result<String, String> {
    match Config::is_upstream_name(text) {
        true => Ok(text.to_owned()),
        false => Err("use letters, digits, `_` and `-`, e.g. main".into()),
    }
}
