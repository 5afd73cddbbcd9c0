// Package observe reads and watches what a report is made from. It decides
// which objects are asked for, and what a refusal means: without the StatefulSets
// there is no report, all else is told as unknown.
//
// What the objects mean is decided by package report. It only reads; the one
// thing that reaches a node is GET on H2O's probe port, through the API server.
package observe
