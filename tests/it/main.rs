//! Pointsman from outside: the architecture of its source, the program's commands, and the running daemon.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on is a test that fails")]

mod api;
mod architecture;
mod assignments;
mod cache_crash;
mod check_store;
mod commands;
mod commands_cache;
mod commands_site;
mod commands_store;
mod daemon;
mod database_page;
mod documents;
mod entry;
mod harness;
mod history;
mod hostile;
mod library;
mod person;
mod redirect;
mod referral;
mod reload;
mod reports;
mod s3;
mod servers;
mod sql_rows;
mod sql_store;
mod sqlite_processes;
mod storage;
mod storm;
mod storm_database;
mod tree;
mod two_servers;
mod upstream_page;
mod with_servers_database;
mod with_servers_store;
