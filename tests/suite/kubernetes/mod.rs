//! The chart, and the commands that speak to Kubernetes, on a real control plane.

mod chart;
mod pods;
mod release;
mod rewind;
