//! `understory`: the engine on a terminal. Text goes to stdout, everything else to stderr.

mod calibration;
mod cli;
mod collection;
mod commands;
mod conversation;
mod exit;
mod files;
mod folders;
mod hub;
mod input;
mod interrupt;
mod methods;
mod models;
mod output;
mod outputs;
mod process;
mod report;
mod serve;
mod timings;
mod tokens;
mod tree;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::output::Console;

fn main() -> ExitCode {
    process::silence_device_select();
    let process_start_ms = process::since_start_ms();
    let cli = Cli::parse();
    output::init_tracing(cli.verbose);
    let console = Console { quiet: cli.quiet, process_start_ms };
    let result = match cli.command {
        Command::Generate(args) => commands::generate::run(&args, &console),
        Command::Chat(args) => commands::chat::run(&args, &console),
        Command::Trace(args) => commands::trace::run(&args, &console),
        Command::VerifyLossless(args) => commands::verify_lossless::run(&args, &console),
        Command::Calibrate(args) => commands::calibrate::run(&args, &console),
        Command::Eval(args) => commands::eval::run(&args, &console),
        Command::Bench(args) => commands::bench::run(&args, &console),
        Command::BenchStart(args) => commands::bench::start::run(&args),
        Command::Compare(args) => commands::compare::run(&args, &console),
        Command::Kernels(args) => commands::kernels::run(&args, &console),
        Command::Predict(args) => commands::predict::run(&args, &console),
        Command::Latency(args) => commands::latency::run(&args, &console),
        Command::Reports(args) => commands::reports::run(&args, &console),
        Command::Serve(args) => commands::serve::run(&args, &console),
        Command::Devices(args) => commands::devices::run(&args, &console),
        Command::Models(args) => commands::models::run(&args, &console),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
