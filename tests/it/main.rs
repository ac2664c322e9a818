//! Pointsman from outside: the architecture of its source, the program's commands, and the running daemon.

mod architecture;
