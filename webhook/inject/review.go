package inject

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Object is a StatefulSet as it came.
type Object struct {
	// Set is the decoded object. Its namespace must be filled in.
	Set *appsv1.StatefulSet
	// JSON is the document that Set was decoded from. It is only used to see
	// changes in fields that this build does not know, and may be nil.
	JSON []byte
	// User is the name of who writes it, empty where that is not known.
	User string
}

// Result is what an injection decides.
type Result struct {
	// Changes lead from the object as it came to the one wanted, in their order.
	Changes []Change
	// Warnings are for the user's terminal.
	Warnings []Warning
	// Set is the object wanted. It shares parts with the input: read only.
	Set *appsv1.StatefulSet
}

// Managed says whether a StatefulSet is one of ours: only the exact value
// "true" of label h2o.ai/cluster makes it so.
func Managed(set *appsv1.StatefulSet) bool {
	return set != nil && set.Labels[LabelCluster] == LabelClusterValue
}

// Inject decides what a StatefulSet that is not stored yet must look like. One
// that is not managed is left alone. A *RejectedError says that it cannot become
// a correct H2O cluster.
func Inject(object Object, defaults policy.Settings) (Result, error) {
	return Review(Object{}, object, defaults)
}

// Review decides what a StatefulSet that is about to be written must look like.
// old is what the server holds, with a nil Set when it holds none. The cases:
//
//   - object is managed: it is injected. Where it changes nothing of its user's
//     own template, replicas and h2o.ai/ annotations, the stored template stays
//     as it is, whatever this build or its defaults would inject today.
//   - only old is managed: what was injected is taken back.
//   - neither, or object is being deleted: nothing is done.
//
// Fields that cannot be changed later carry over from old. A *RejectedError
// says that the object cannot become a correct H2O cluster.
func Review(old, object Object, defaults policy.Settings) (Result, error) {
	switch {
	case object.Set.DeletionTimestamp != nil:
		return Result{Set: object.Set}, nil
	case Managed(object.Set):
		return injectInto(old, object, defaults)
	case Managed(old.Set):
		return uninjectFrom(old, object), nil
	default:
		return Result{Set: object.Set}, nil
	}
}

// Uninject takes back what was injected into a StatefulSet, by its record.
// Without a record there is nothing to take back.
func Uninject(object Object) Result { return uninjectFrom(Object{}, object) }

func uninjectFrom(old, object Object) Result {
	rec, warnings := recordFor(old.Set, object.Set)
	user := editable(revert(object.Set, rec))
	for _, name := range policy.WrittenAnnotations() {
		dropAnnotation(user, name)
	}
	if old.Set != nil {
		kept := keepImmutable(user, old.Set)
		if kept != "" {
			warnings = append(warnings, newWarning(ReasonImmutable, "%s cannot be changed back: write it into your manifest, or later updates without label %s=%s are refused", kept, LabelCluster, LabelClusterValue))
		}
	}
	changes := append(compare(object.Set, user), compareAnnotations(object.Set, user)...)
	for i := range changes {
		changes[i].Reason = ReasonNotManaged
		if at := changes[i].Field.At; at == AtServiceName || at == AtPodManagementPolicy {
			changes[i].Reason = ReasonImmutable
		}
	}
	return Result{Changes: changes, Warnings: warnings, Set: user}
}

func injectInto(old, object Object, defaults policy.Settings) (Result, error) {
	rec, warnings := recordFor(old.Set, object.Set)
	meant := revert(object.Set, rec)
	user := meant
	if old.Set != nil {
		user = editable(meant)
		keepImmutable(user, old.Set)
	}
	wanted, said, err := keepStored(old, object, user)
	if err != nil {
		return Result{}, err
	}
	if wanted == nil {
		if wanted, said, err = build(user, old.Set, defaults); err != nil {
			return Result{}, err
		}
	}
	warnings = append(warnings, said...)
	if said, err = reviewUpdate(old, object, defaults); err != nil {
		return Result{}, err
	}
	warnings = append(warnings, said...)
	changes := compare(meant, wanted)
	said, err = writeRecord(changes, wanted)
	if err != nil {
		return Result{}, err
	}
	carryStatus(old.Set, wanted)
	if rec != nil { // the object as it came is not the one that its user means
		changes = compare(object.Set, wanted)
	}
	changes = append(changes, compareAnnotations(object.Set, wanted)...)
	return Result{Changes: changes, Warnings: append(warnings, said...), Set: wanted}, nil
}
