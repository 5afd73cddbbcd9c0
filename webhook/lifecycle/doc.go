// Package lifecycle holds the reconcilers that follow a managed StatefulSet
// through its life: they make its Services, repair and remove them, and inject
// sets that were written while the webhook was away.
//
// What an H2O cluster must look like is decided in package inject; here it is
// only compared with what is there. controller.go holds the watches, the other
// files the logic.
package lifecycle
