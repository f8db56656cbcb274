package router

func (r *Router) register() {}
