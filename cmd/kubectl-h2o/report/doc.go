// Package report says in words what is known of H2O clusters. It decides what
// the objects of a Kubernetes cluster mean to the person who asks, and how that
// is printed, as a table, in full, or as data for scripts.
//
// It is pure: objects and a time in, text out. It must not know clients, flags
// or terminals; package observe fetches what it reads. What an H2O cluster must
// look like is asked of package inject, where it is in its life of package life.
package report
