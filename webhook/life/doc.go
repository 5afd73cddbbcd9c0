// Package life decides where an H2O cluster is in its life and what has to
// happen next: whether it has formed, whether it is whole, when all of it must
// be restarted, and how far a restart has come.
//
// It knows what H2O's signals mean and what they hide: a node answers as the
// leader while it still looks for its peers and when it is alone, as a follower
// before it has any cloud, and a cluster that lost a node goes on calling itself
// healthy. So a formation is observed on all pods together and the leader has to
// count them (see Watch), and a loss is found by comparing the pods
// with the members that were recorded when the cluster formed (see Generation).
//
// The package is pure. It takes values, the time among them, and returns
// values; it never changes its input, and must not know clients, contexts,
// clocks, logs or HTTP. Everything that has to outlive the process is in Status,
// which is kept on the StatefulSet itself, so that another replica can go on.
package life
