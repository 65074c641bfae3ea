//! The chart, and the commands that speak to Kubernetes, on a real control plane.

mod chart;
mod release;
mod rewind;
