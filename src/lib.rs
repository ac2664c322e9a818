//! Pointsman: a scriptable boot-decision engine.
//!
//! # Bird's eye
//!
//! Machines that boot from the network ask two questions: *may I boot?* and *what do I boot?* Pointsman stands beside a
//! site's own DHCP server and lets the site's rules answer.
//!
//! > A boot request goes in, a boot decision comes out. Whatever speaks a protocol only translates. Whatever knows
//! > something is a [`RequestHandler`](decision::RequestHandler).
//!
//! # The life of one boot
//!
//! 1. The firmware broadcasts a DISCOVER. [`dhcp::server`] receives it, [`dhcp::packet`] and [`dhcp::question`] read it
//!    once into a [`boot::Client`]; what is no question to a proxy is dropped and counted.
//! 2. The daemon's glue finds or begins the [`decision::Session`] of this boot and asks
//!    [`DecisionEngine::allow_boot`](decision::DecisionEngine::allow_boot). The handlers are asked in order; the answer
//!    is remembered for this boot, shared by all who ask meanwhile, and logged once.
//! 3. [`dhcp::reply`] makes the OFFER in the form that this firmware takes, with a path that holds the session's
//!    token: `b/<token>/snponly.efi`. A denied firmware gets silence.
//! 4. The firmware loads that path by [`tftp`]. The token is checked, the verdict asked again (and remembered), the loader
//!    comes from [`loaders`].
//! 5. iPXE starts, asks DHCP again, and gets the URL `http://server/b/<token>/boot.ipxe`. [`http`] answers with a script
//!    that [`ipxe`] rendered: it reports the machine's facts to `script.ipxe`.
//! 6. [`DecisionEngine::boot_images`](decision::DecisionEngine::boot_images) asks the handlers what to boot; [`ipxe`]
//!    renders the answer; kernels and images come from [`files`], below the same token.
//!
//! In which form firmware is answered, when, and with which loader is its [`boot::Manner`]: what the rules say, else what the
//! [`quirks`] say of such firmware. The answer may be a menu that the firmware shows; the line that is chosen comes to port
//! 4011. A loader that is not iPXE asks by TFTP or HTTP for a configuration file, which [`chainload`] makes of the same
//! images. By IPv6 it goes the same way through [`dhcp::v6`].
//!
//! Where the answer is a question to the person at the machine, [`http`] has it answered and verified by [`people`], and
//! asks again with who it is. Every question with its answer is kept in the [`store`], so that [`review`] can explain the
//! boot.
//!
//! At a site that leans on an upstream, steps 2 and 6 go on there: [`handlers::referral`] asks it through [`upstream`] in
//! the words of [`api`], whose other end is in [`http`]; the files of the answer are `@NAME/...`, which
//! [`cache::Library`] leads to the cache. Or the verdict is to [refer](boot::Verdict::Refer) the machine: then DHCP and
//! the script hand it over, and it is seen no more.
//!
//! # Code map, in reading order
//!
//! | module | is |
//! |---|---|
//! | [`boot`] | the vocabulary: requests, clients, images, decisions; plain data |
//! | [`decision`] | the core: the handler trait, the engine, sessions and their tokens, the policy |
//! | [`handlers`] | what knows things: [`handlers::script`] (Rhai), [`handlers::sql`] (rows), [`handlers::referral`] (another boot server); [`handlers::rollout`]: scripts that are not live yet |
//! | [`api`] | what a site server and its upstream say to each other |
//! | [`upstream`] | other boot servers and object storage: asked, and fetched from |
//! | [`cache`] | files of origins: fetched once, verified, kept; and the library of all files by name |
//! | [`database`], [`store`] | the site's databases, and what is kept in one of them: machines, images, assignments, history |
//! | [`paths`] | the paths that clients are told, and how they are read again |
//! | [`people`] | who is at a machine: PINs, passwords and the directory, and how often somebody may be wrong |
//! | [`ipxe`] | typed iPXE commands, and the one function that turns them into text |
//! | [`chainload`] | configuration files for GRUB and PXELINUX, made when they are asked for |
//! | [`dhcp`], [`tftp`], [`http`] | codec, logic and server of each protocol; none knows another |
//! | [`dhcp_config`] | what the site's DHCP server is to be told where it names the boot file itself |
//! | [`net`], [`files`], [`tls`] | sockets, names that become files, certificates |
//! | [`loaders`] | boot loaders by architecture |
//! | [`quirks`] | what is known of firmware that is not as the others |
//! | [`config`] | the TOML file, with every problem at once |
//! | [`observe`] | log and metrics |
//! | [`events`] | others are told what happens: webhooks |
//! | [`site`] | a configuration with everything it names, read and compiled |
//! | [`review`] | looking back: a boot explained, and old questions asked again of other scripts |
//! | [`daemon`] | a site with sockets: wiring, reload, orderly end |
//! | [`simulate`] | a client made of packets, for tests and for administrators |
//! | [`doctor`] | why machines do not boot: checks of a site and its network, a probe of a segment, codes on screens |
//! | [`cli`] | the commands |
//! | `nearest`, `pace`, `hex` | small things that several use: the name that was meant, how much is logged in a second, digits |
//!
//! # Invariants
//!
//! The tests in `tests/it/architecture.rs` hold the first four against the source.
//!
//! * Arrows go down only: `boot` knows nothing above it, transports do not know each other, nothing depends on `cli`.
//! * Each foreign crate has its place: `rhai` under `handlers/script`, `dhcproto` in the DHCP codec, `axum` and `hyper`
//!   under `http`, `rustls` and `rcgen` under `tls`, `sqlx` under `database`, `reqwest` and `object_store` under
//!   `upstream`.
//! * Protocol logic has no socket and no clock: time and addresses are arguments.
//! * The environment and the arguments are read by `cli` only; a password that the configuration asks for by
//!   `password_env` by `database`.
//! * Questions change nothing, and neither does asking old ones again. What a script notes or counts is kept once, after
//!   a run that answered a machine. What is done once is noted durably before the machine goes on with it; what a
//!   database said before it was lost never starts it.
//! * Who is at a machine is what the server verified, and our signed word for it; never what the machine says.
//! * Bytes from outside become types once, at the edge, with limits; no input ends in a panic.
//! * A script's result is data. Text for iPXE is rendered by one function that escapes.
//! * A path opens something only with the token of a session; a token is in no log line. It carries the verdict, so that
//!   a server that did not see the boot begin neither allows what was denied nor the other way round. A loader that forgets
//!   it is known by its address, and gets no more than anybody who asks DHCP in the machine's name.
//! * Nobody gets the end of a file that comes from elsewhere before its digest was found to be right.
//! * What an upstream answers is data with limits; it is trusted by the one CA that it was enrolled with.
//! * The history and webhooks hold no boot up: their queues have an end, and what is dropped is counted.
//! * The engine always answers, in bounded time, and closed where it cannot tell. A handler that fails, hangs or panics
//!   costs one question.
//! * A reload builds the new world completely and swaps it; a broken one never replaces a good one.

pub mod api;
pub mod boot;
pub mod cache;
pub mod chainload;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod database;
pub mod decision;
pub mod dhcp;
pub mod dhcp_config;
pub mod doctor;
pub mod events;
pub mod files;
pub mod handlers;
mod hex;
pub mod http;
pub mod ipxe;
pub mod loaders;
mod nearest;
pub mod net;
pub mod observe;
mod pace;
pub mod paths;
pub mod people;
pub mod quirks;
pub mod review;
pub mod simulate;
pub mod site;
pub mod store;
pub mod tftp;
pub mod tls;
pub mod upstream;
