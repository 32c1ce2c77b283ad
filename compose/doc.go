// Package compose turns a compose file into what runs.
//
// The line is Load, Observe, Diff, Run:
//
//	Load    reads the files into a Project (compose-go's model plus strake's Settings)
//	Observe asks a Host for the State of the project: containers, networks, volumes, images, by label
//	Diff    compares the two and answers with a Plan: pure, deterministic, printable
//	Run     carries the Plan out on the Host, in parallel where the graph allows, and waits for readiness
//
// Everything that strake launches goes through this line. The package knows no engine SDK: a Host is
// two or three methods, and compose/hosttest holds the contract as a test together with an in-memory
// Host that passes it.
//
// Names, labels, config hashes and their meaning are those of Docker Compose, so that either tool
// manages a stack that the other one made.
package compose
