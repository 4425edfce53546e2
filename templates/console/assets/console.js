// What the console does in a browser beyond htmx. Every page works without it.
'use strict';

// A button with data-copy copies the text of the element it names.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
});
document.documentElement.classList.add('scripted');
