package meta

// Entity is one thing in the state: *VHost, *User, *Permission, *TopicPermission, *Exchange, *Queue, *Binding, *Policy,
// *Parameter or *Node.
type Entity interface{ entity() }

func (*VHost) entity()           {}
func (*User) entity()            {}
func (*Permission) entity()      {}
func (*TopicPermission) entity() {}
func (*Exchange) entity()        {}
func (*Queue) entity()           {}
func (*Binding) entity()         {}
func (*Policy) entity()          {}
func (*Parameter) entity()       {}
func (*Node) entity()            {}

// Change is one entity that was created, replaced or deleted. Its kind is the type of the entity; Before and After have the
// same type.
type Change struct {
	Before Entity // nil: created
	After  Entity // nil: deleted
}

// Entity returns the new value, or the last one if it was deleted.
func (c Change) Entity() Entity {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Created says that the entity is new.
func (c Change) Created() bool { return c.Before == nil }

// Deleted says that the entity is gone.
func (c Change) Deleted() bool { return c.After == nil }
