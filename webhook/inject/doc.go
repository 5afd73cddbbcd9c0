// Package inject decides what an H2O StatefulSet and its Services must look
// like. It is the one brain behind every door: the admission webhook, the
// command line and the reconcilers call the same functions and get the same
// object.
//
// The package is pure. It takes values and returns values, never changes its
// input, and must not know clients, contexts, clocks, logs or HTTP.
//
// How a decision is made: Review first takes back what an earlier injection
// left in the object (revert, from the record annotation), which gives the
// object as its user means it; then builds the object that is wanted from it
// (build); then compares the object as it came with the one wanted (compare).
// The comparison is the list of changes, and everything that is said or sent
// about an injection comes from that list: the JSON patch, the record, the
// explanation. Injecting an injected object gives an empty list, because taking
// back and building again end where they began.
package inject
