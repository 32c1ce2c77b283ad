// Package offline shows what of a project needs the internet.
//
// Pages walks an application's own pages and lists what a browser would load from elsewhere; Browse has a Chromium ask, with every other
// name and address closed to it, and lists what it wanted.
package offline
