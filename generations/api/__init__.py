"""The REST API of generations, below /api/v1/. Each module holds the views and serializers of one resource.

A view reads the request, calls one function of `services`, `lifecycle` or `files`, and renders the result. Errors are
`DomainError`s, which `generations.http.problems` renders. Docstrings of views and `help_text`s are published: they are
the descriptions in the OpenAPI document.
"""
