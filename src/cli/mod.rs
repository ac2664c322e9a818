//! The command line: one file per command, none of them with logic of its own.

mod approvals;
mod assign;
mod cache;
mod case;
mod check;
mod check_store;
mod check_upstream;
mod decide;
mod demo;
mod doctor;
mod explain;
mod explain_code;
mod group;
mod history;
mod image;
mod init;
mod machine;
mod machine_store;
mod machines;
mod notes;
mod output;
mod people;
mod print;
mod probe;
mod replay;
mod script;
mod scripts;
mod secret;
mod serve;
mod simulate;
mod site;
mod store;
mod table;
mod test;
mod times;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, FILE_NAME};

/// A boot server that asks your own rules: may this machine boot, and what?
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, about, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub struct Cli {
    /// The configuration; by default ./pointsman.toml, else /etc/pointsman/pointsman.toml
    #[arg(long, short, global = true, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "A boot server that asks your own rules: may this machine boot, and what?

It stands beside the DHCP server that you have and never gives out an address. Machines that boot from the network are
answered by proxyDHCP (UDP 67), a PXE boot server (UDP 4011), TFTP, HTTP and HTTPS; what they may boot is decided by two
functions in scripts of yours, allow_boot and boot_images.";

const AFTER_HELP: &str = "Examples:
  pointsman demo                      see it work, without privileges and without a network
  pointsman init /etc/pointsman       write a first site: configuration, scripts with cases, a private CA
  pointsman check                     find every problem of the site before a machine does
  pointsman decide --mac 52:54:00:12:34:56 --arch x64-uefi
                                      what would this machine boot, and why?
  pointsman test --watch              run the cases of the scripts, again with each change
  pointsman script help               what can a decision script read and call?
  pointsman serve                     run the server
  pointsman machine add lab-07 --mac 52:54:00:12:34:56
  pointsman assign lab-07 debian --mandatory
                                      install this machine at its next boot, once
  pointsman history --since 1d        what booted, and what became of it
  pointsman explain lab-07            why its last boot went as it did
  pointsman explain PXE-E55           what a code on a screen means, and where to look
  pointsman doctor                    what keeps machines from booting: site, host, network, neighbors
  pointsman probe                     who answers machines on this segment
  pointsman replay --scripts new      what new scripts would have said to the boots of the last week
  pointsman scripts stage             try new rules beside those that decide
  pointsman print dhcp-config --for kea
                                      let the DHCP server name the boot file, without proxyDHCP
  pointsman site add lyon             let the server of another site ask this one";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Decide(decide::Decide),
    Serve(serve::Serve),
    Simulate(simulate::Simulate),
    Demo(demo::Demo),
    Machine(machine_store::Machine),
    Machines(machines::Machines),
    Image(image::Image),
    Group(group::Group),
    Assign(assign::Assign),
    Unassign(assign::Unassign),
    Assignments(assign::Assignments),
    History(history::History),
    Explain(explain::Explain),
    Doctor(doctor::Doctor),
    Probe(probe::Command),
    Notes(notes::Notes),
    Replay(replay::Replay),
    Case(case::Case),
    Print(print::Print),
    Site(site::Site),
    Cache(cache::Cache),
    Script(script::Script),
    Scripts(scripts::Scripts),
    Test(test::Test),
    People(people::People),
    Approvals(approvals::Approvals),
    Approve(approvals::Approve),
    Deny(approvals::Deny),
}

/// Runs the command of the arguments. Exit codes: 0 done, 1 a problem was found or the command failed, 2 wrong arguments.
pub fn run(cli: Cli) -> ExitCode {
    let config = cli.config.as_deref();
    let result = match cli.command {
        Command::Init(command) => init::run(&command),
        Command::Check(command) => check::run(&command, &find_config(config)),
        Command::Decide(command) => decide::run(&command, &find_config(config)),
        Command::Serve(command) => serve::run(&command, &find_config(config)),
        Command::Simulate(command) => simulate::run(&command, config),
        Command::Demo(command) => demo::run(&command),
        Command::Machine(command) => machine_store::run(&command, &find_config(config)),
        Command::Machines(command) => machines::list(&command, &find_config(config)),
        Command::Image(command) => image::run(&command, &find_config(config)),
        Command::Group(command) => group::run(&command, &find_config(config)),
        Command::Assign(command) => assign::assign(&command, &find_config(config)),
        Command::Unassign(command) => assign::unassign(&command, &find_config(config)),
        Command::Assignments(command) => assign::assignments(&command, &find_config(config)),
        Command::History(command) => history::run(&command, &find_config(config)),
        Command::Explain(command) => explain::run(&command, &find_config(config)),
        Command::Doctor(command) => doctor::run(&command, &find_config(config)),
        Command::Probe(command) => probe::run(&command),
        Command::Notes(command) => notes::run(&command, &find_config(config)),
        Command::Replay(command) => replay::run(&command, &find_config(config)),
        Command::Case(command) => case::run(&command, &find_config(config)),
        Command::Print(command) => print::run(&command, &find_config(config)),
        Command::Site(command) => site::run(&command, &find_config(config)),
        Command::Cache(command) => cache::run(&command, &find_config(config)),
        Command::Script(command) => script::run(&command),
        Command::Scripts(command) => scripts::run(&command, &find_config(config)),
        Command::Test(command) => test::run(&command, &find_config(config)),
        Command::People(command) => people::run(&command, &find_config(config)),
        Command::Approvals(command) => approvals::list(&command, &find_config(config)),
        Command::Approve(command) => approvals::approve(&command, &find_config(config)),
        Command::Deny(command) => approvals::deny(&command, &find_config(config)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn find_config(given: Option<&std::path::Path>) -> PathBuf {
    let installed = PathBuf::from("/etc/pointsman").join(FILE_NAME);
    match given {
        Some(file) => file.to_owned(),
        None if !PathBuf::from(FILE_NAME).exists() && installed.exists() => installed,
        None => PathBuf::from(FILE_NAME),
    }
}

/// Reads the configuration; its problems are the error's text.
fn read_config(file: &std::path::Path) -> anyhow::Result<Config> {
    Config::read(file).map_err(|problems| anyhow::anyhow!("the configuration has problems\n{problems}"))
}
