//! Arguments of `understory reports`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "\
Reports come from `understory bench --save`, from other devices (`understory serve --lan`) and from files. ID may be any \
unambiguous prefix of an id. The collection is one SQLite file, understory/reports.sqlite in the user's data folder \
(XDG_DATA_HOME, ~/.local/share, ~/Library/Application Support or %APPDATA%).

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
    /// File of the collection [default: reports.sqlite in the user's data folder]
    #[arg(long, value_name = "FILE", global = true)]
    pub db: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ReportsAction {
    /// List the reports with scenario, device, and times of measurement and arrival
    List {
        /// Print one JSON array to stdout
        #[arg(long)]
        json: bool,
    },
    /// Show the table of one report, as `bench` prints it
    Show {
        /// Id of the run, or a prefix
        id: String,
        /// Print the unchanged report to stdout instead of the table
        #[arg(long)]
        json: bool,
        /// Write the report as an HTML page with charts
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        html: Option<PathBuf>,
    },
    /// Write every report to a folder, as one JSON file each
    Export {
        /// Folder to write to; it is created if necessary
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Add reports from files, or from folders that contain a report.json
    Import {
        /// Report files or folders
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Delete reports
    Delete {
        /// Ids of the runs, or prefixes
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}
