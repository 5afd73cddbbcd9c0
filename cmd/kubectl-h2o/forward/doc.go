// Package forward leads connections from a local port to the leader of an H2O
// cluster, and goes on leading them there when the cluster restarts and another
// pod leads. The local port is there all the time.
//
// It is told who leads; how that is known is not decided here.
package forward
