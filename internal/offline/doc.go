// Package offline shows what of a project needs the internet.
//
// Isolate makes a stack of a project out of which nothing leads. Sink and Hold run in containers of it: they answer for the outside, refuse and
// count. Judge says what was read back of it comes to: whether it is proven that the stack needs nothing, and what it tried to reach.
//
// Pages walks an application's own pages and lists what a browser would load from elsewhere; Browse has a Chromium ask, with every other
// name and address closed to it, and lists what it wanted.
package offline
