"""What an attacker types into a prompt, hoping that somebody's page will run it."""

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
# None of these may stand in a page as it was typed.
LIVE = ["<script>document", "<img src=x", "<svg/onload", "<b>right", '" hx-get="/stolen"', "limerick"]
