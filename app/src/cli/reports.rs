//! Arguments of `understory reports`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "\
Reports come from `understory bench --save`, from other devices (`understory serve --lan`) and from files. ID may be the \
beginning of one, as long as no other begins so. The collection is one SQLite file in the user's data folder \
(XDG_DATA_HOME, ~/.local/share, ~/Library/Application Support or %APPDATA%, there understory/reports.sqlite).

Examples:
  understory reports list
  understory reports show 2026-11-22T12 --html report.html
  understory reports import runs/quick phone.json
  understory reports export reports && understory compare reports/*.json
  understory reports delete 2026-11-22T12-00-00Z-quick-0123abcd";

#[derive(Debug, Args)]
pub struct ReportsArgs {
    #[command(subcommand)]
    pub action: ReportsAction,
    /// The collection of reports [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", global = true)]
    pub db: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ReportsAction {
    /// What is there: run, scenario, device, when it was measured and when it came
    List {
        /// One JSON array on stdout
        #[arg(long)]
        json: bool,
    },
    /// The table of one report, as `bench` prints it
    Show {
        /// Of the run, or how it begins
        id: String,
        /// The report as it came, on stdout, in place of the table
        #[arg(long)]
        json: bool,
        /// Write the report as a page with charts
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        html: Option<PathBuf>,
    },
    /// Write every report to a folder, one JSON file each
    Export {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Take reports in: files, or folders that hold a report.json
    Import {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Delete reports
    Delete {
        /// Of the runs, or how they begin
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}
