// Package render is the door for files: it reads manifests, has the brain
// (package inject) decide, and gives back what a user applies or commits.
//
// It decides how a document is read, found faulty and written, and which
// Services an input lacks; never what an H2O StatefulSet looks like. It is pure:
// bytes in, bytes out. It must not know flags, files, terminals or servers, and
// its import graph is light, so that any program can render.
package render
