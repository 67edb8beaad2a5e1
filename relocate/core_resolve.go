package relocate

type resolverState struct{}
