"""Prompts with markup and templates that would run in a page that does not escape them."""

ATTACKS = [
    "<script>document.title='stolen'</script>",
    "\"><img src=x onerror=document.title='stolen'>",
    "'><svg/onload=document.title='stolen'>",
    "</textarea><script>document.title='stolen'</script>",
    "</title><script>document.title='stolen'</script>",
    "{{ 'lim'|add:'erick' }}{% debug %}",
    "<!--<img src=\"--><img src=x onerror=document.title='stolen'//\">",
    '" hx-get="/stolen" hx-trigger="load',
    "javascript:document.title='stolen'",
    "\u202e<b>right to left\u202c",
]
# No page may contain one of these: they are parts of the prompts that were not escaped, or the result of a template.
LIVE = ["<script>document", "<img src=x", "<svg/onload", "<b>right", '" hx-get="/stolen"', "limerick"]
