package store

// childEnv tells the test binary that it is the child of a kill test, and where its store is.
const childEnv = "BROKERD_STORE_TEST_CHILD"

func childMain(string) int { return 0 }
