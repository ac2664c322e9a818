//! Pointsman from outside: the architecture of its source, the program's commands, and the running daemon.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on is a test that fails")]

mod architecture;
mod commands;
mod daemon;
mod documents;
mod harness;
mod hostile;
mod reload;
mod servers;
mod sqlite_processes;
mod storm;
mod with_servers_database;
