"""The routes: a module for each resource. A route validates, calls one service function and answers."""
