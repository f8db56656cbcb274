package stateful

import "errors"

var (
	// ErrNoOwner means that nothing was stored, and that the room's owner could not be reached in time.
	ErrNoOwner = errors.New("the room's owner could not be reached")
	// ErrUnknown means that the owner went away before it answered: what was published may be stored, or not.
	ErrUnknown = errors.New("the room's owner did not answer")
	// errMoved means that the room is another's: nothing was done.
	errMoved = errors.New("the room is owned by another replica")
	// errGone means that the room was forgotten meanwhile, and is to be looked up again.
	errGone = errors.New("the room was forgotten")
	// errBusy means that too much waits to be stored in a room.
	errBusy = errors.New("too many messages wait to be stored in the room")
)
